"""Embeddings, moderations and token counts use the same queue as answers, over HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, aclosing
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_support.another_gateway import another_gateway
from gateway_support.budgets import limited_key, whole_budget
from gateway_support.grpc_client import grpc_stub
from gateway_support.house import House
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_gateway.domain.ledger.budget import texts_bound
from modelmill_gateway.metrics import ADMISSION_REFUSED, ADMISSION_WAITING, TOKENS_IN_HAND
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS = 100
CHAT: dict[str, Any] = {
    "model": "default",
    "messages": [{"role": "user", "content": "hi"}],
}
LONG = "word " * 100
"""More than is free beside a chat."""
SHORT = "2"
"""Seconds in which even a busy machine brings a request into the queue."""
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"model": "default", "input": [LONG, "a"]},
    "/v1/moderations": {"input": LONG},
    "/v1/messages/count_tokens": {
        "model": "default",
        "messages": [{"role": "user", "content": LONG}],
    },
}

every_route = pytest.mark.parametrize("path", ROUTES)


@pytest_asyncio.fixture(loop_scope="module")
async def small(house: House) -> AsyncIterator[House]:
    """A gateway with room for one chat."""
    async with another_gateway(house, tokens_in_hand=TOKENS) as other:
        yield other.house


async def ask(client: httpx.AsyncClient, path: str, **headers: str) -> httpx.Response:
    return await client.post(path, json=ROUTES[path], headers=headers)


def of_half(path: str) -> dict[str, Any]:
    """The same request for about half of the room."""
    return json.loads(json.dumps(ROUTES[path]).replace(LONG, LONG[:200]))


async def chat(
    stack: AsyncExitStack, house: House, tenant: str = "acme", max_tokens: int = 90
) -> None:
    """One that runs until the stack is closed."""
    house.inference.endless = True
    body = CHAT | {"stream": True, "max_tokens": max_tokens}
    answer = await stack.enter_async_context(
        house.http(tenant=tenant).stream("POST", "/v1/chat/completions", json=body)
    )
    lines = await stack.enter_async_context(aclosing(answer.aiter_lines()))
    await anext(lines)


async def leaves_the_queue(asking: Coroutine[Any, Any, httpx.Response]) -> None:
    """Ask for what has to wait, and go away."""
    waiting = asyncio.create_task(asking)
    await eventually(lambda: ADMISSION_WAITING._value.get() == 1)
    waiting.cancel()
    await eventually(lambda: ADMISSION_WAITING._value.get() == 0)


def in_hand() -> float:
    return TOKENS_IN_HAND.collect()[0].samples[0].value


@every_route
async def test_what_has_no_room_waits_until_a_chat_has_left(small: House, path: str):
    async with AsyncExitStack() as stack:
        await chat(stack, small)
        waiting = asyncio.create_task(ask(small.http(), path))
        await eventually(lambda: ADMISSION_WAITING._value.get() == 1)
        assert not small.inference.embedded
    answer = await waiting

    assert answer.status_code == 200
    await eventually(lambda: in_hand() == 0)


@every_route
async def test_an_answer_over_grpc_is_waited_for_as_well(small: House, path: str):
    small.inference.endless = True
    said = [ChatMessage(role="user", content="hi")]
    call = pb.ChatCall(model="default", messages=said, max_tokens=90)
    async with grpc_stub(small) as stub:
        streaming = stub.StreamChat(pb.StreamChatRequest(call=call))
        await streaming.read()
        waiting = asyncio.create_task(ask(small.http(), path))
        await eventually(lambda: ADMISSION_WAITING._value.get() == 1)
        streaming.cancel()
        assert (await waiting).status_code == 200


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/messages/count_tokens"])
async def test_the_time_that_was_waited_is_taken_off_what_inference_is_given(
    small: House, path: str
):
    async with AsyncExitStack() as stack:
        await chat(stack, small)
        waiting = asyncio.create_task(ask(small.http(), path, **{"x-request-timeout": "60"}))
        await eventually(lambda: ADMISSION_WAITING._value.get() == 1)
        began = time.monotonic()
        other = small.http(tenant="little")
        headers = {"x-request-timeout": SHORT}
        assert (await other.post(path, json=of_half(path), headers=headers)).status_code == 503
        waited = time.monotonic() - began
    assert (await waiting).status_code == 200

    assert small.inference.deadlines[-1] < 60 - waited


@every_route
async def test_who_would_wait_past_its_deadline_hears_at_once_when_to_come_back(
    small: House, path: str
):
    refused = ADMISSION_REFUSED._value.get()
    async with AsyncExitStack() as stack:
        await chat(stack, small)
        answer = await ask(small.http(), path, **{"x-request-timeout": SHORT})

    assert answer.status_code == 503
    assert "overloaded" in answer.text
    assert int(answer.headers["retry-after"]) >= 1
    assert (ADMISSION_REFUSED._value.get(), ADMISSION_WAITING._value.get()) == (refused + 1, 0)


@every_route
async def test_who_leaves_the_queue_gives_up_its_place(small: House, path: str):
    async with AsyncExitStack() as stack:
        await chat(stack, small)
        await leaves_the_queue(ask(small.http(), path))
    await eventually(lambda: in_hand() == 0)


async def test_vectors_cost_a_limited_caller_nothing_until_an_engine_is_asked(small: House):
    key, limited = await limited_key(small, tokens=100_000)
    body = {"model": "default", "input": LONG}
    async with AsyncExitStack() as stack:
        await chat(stack, small)
        await leaves_the_queue(limited.post("/v1/embeddings", json=body))
    small.inference.fail_before = UnavailableError("restarting")
    assert (await limited.post("/v1/embeddings", json=body)).status_code == 503
    small.inference.fail_before = None
    answered = await limited.post("/v1/embeddings", json=body)
    used = answered.json()["usage"]["total_tokens"]
    assert (await whole_budget(small, key, spent=used)).spent_tokens == used

    small.inference.hold_after = 0
    asked = len(small.inference.embedded)
    leaving = asyncio.create_task(limited.post("/v1/embeddings", json=body))
    await eventually(lambda: len(small.inference.embedded) > asked)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await limited.aclose()
    bound = texts_bound([LONG])
    assert (await whole_budget(small, key, spent=used + bound)).spent_tokens == used + bound


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/messages/count_tokens"])
async def test_what_failed_leaves_its_room(small: House, path: str):
    small.inference.fail_before = UnavailableError("restarting")
    for _ in range(2):
        assert (await ask(small.http(), path)).status_code == 503
    small.inference.fail_before = None

    await eventually(lambda: in_hand() == 0)
    assert (await ask(small.http(), path)).status_code == 200


@every_route
async def test_a_tenant_with_less_in_hand_goes_before_one_that_asked_first(small: House, path: str):
    done: list[str] = []

    async def asked_by(tenant: str) -> None:
        answer = await small.http(tenant=tenant).post(path, json=of_half(path))
        assert answer.status_code == 200, answer.text
        done.append(tenant)

    async with AsyncExitStack() as stays, AsyncExitStack() as leaves:
        await chat(stays, small, tenant="much", max_tokens=40)
        await chat(leaves, small, tenant="much", max_tokens=50)
        much = asyncio.create_task(asked_by("much"))
        await eventually(lambda: ADMISSION_WAITING._value.get() == 1)
        little = asyncio.create_task(asked_by("little"))
        await eventually(lambda: ADMISSION_WAITING._value.get() == 2)
        await leaves.aclose()
        await asyncio.gather(much, little)

    assert done == ["little", "much"]
