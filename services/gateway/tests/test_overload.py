"""Overload over HTTP: who waits, who gets 503, and what remains."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing

import httpx
import pytest
import pytest_asyncio
from gateway_support.another_gateway import another_gateway
from gateway_support.house import House
from modelmill_gateway.domain.errors import FullError
from modelmill_gateway.metrics import ADMISSION_WAITING, TOKENS_IN_HAND
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS = 100
QUESTION: dict[str, object] = {
    "model": "default",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 90,
}

SHORT = "2"
"""Seconds in which even a busy machine brings a request into the queue."""


@pytest_asyncio.fixture(loop_scope="module")
async def small(house: House) -> AsyncIterator[House]:
    """A gateway with room for one request."""
    async with another_gateway(house, tokens_in_hand=TOKENS) as other:
        yield other.house


async def chat(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=QUESTION, headers=headers)


async def stream(stack: AsyncExitStack, client: httpx.AsyncClient) -> None:
    """One that runs until the stack is closed."""
    body = QUESTION | {"stream": True}
    answer = await stack.enter_async_context(
        client.stream("POST", "/v1/chat/completions", json=body)
    )
    lines = await stack.enter_async_context(aclosing(answer.aiter_lines()))
    await anext(lines)


async def test_what_has_no_room_waits_for_it_and_is_answered(small: House):
    small.inference.endless = True
    client = small.http()
    async with AsyncExitStack() as stack:
        await stream(stack, client)
        waiting = asyncio.create_task(chat(client))
        await eventually(lambda: ADMISSION_WAITING._value.get() == 1)
        small.inference.endless = False
    answer = await waiting

    assert answer.status_code == 200
    await eventually(lambda: TOKENS_IN_HAND.collect()[0].samples[0].value == 0)


async def test_who_would_wait_past_its_deadline_is_refused_with_a_time_to_come_back(small: House):
    small.inference.endless = True
    client = small.http()
    async with AsyncExitStack() as stack:
        await stream(stack, client)
        answer = await chat(client, **{"x-request-timeout": SHORT})

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "overloaded"
    assert int(answer.headers["retry-after"]) >= 1
    assert ADMISSION_WAITING._value.get() == 0


async def test_a_refusal_leaves_nothing_for_the_collector(small: House):
    small.inference.endless = True
    client = small.http()
    async with AsyncExitStack() as stack:
        await stream(stack, client)
        gc.collect()
        gc.disable()
        try:
            answer = await chat(client, **{"x-request-timeout": SHORT})
            left = [each for each in gc.get_objects() if isinstance(each, FullError)]
        finally:
            gc.enable()

    assert answer.status_code == 503
    assert left == []


async def test_one_who_waits_and_leaves_gives_up_its_place(small: House):
    small.inference.endless = True
    client = small.http()
    async with AsyncExitStack() as stack:
        await stream(stack, client)
        waiting = asyncio.create_task(chat(client))
        await eventually(lambda: ADMISSION_WAITING._value.get() == 1)
        waiting.cancel()
        await eventually(lambda: ADMISSION_WAITING._value.get() == 0)
    await eventually(lambda: small.inference.in_flight == 0)
    await eventually(lambda: TOKENS_IN_HAND.collect()[0].samples[0].value == 0)


async def test_what_is_refused_before_it_began_leaves_its_room(small: House):
    client = small.http()
    small.inference.fail_before = UnavailableError("restarting")
    for _ in range(3):
        assert (await chat(client)).status_code == 503
    small.inference.fail_before = None
    assert (await chat(client)).status_code == 200


@pytest.mark.parametrize("given", ["soon", "0", "-1", "nan", "inf", ""])
async def test_a_time_that_is_none_is_refused(house: House, given: str):
    answer = await chat(house.http(), **{"x-request-timeout": given})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-request-timeout"


async def test_a_callers_own_time_shortens_every_hop(house: House):
    client = house.http()
    await chat(client, **{"x-request-timeout": "3"})
    await client.post(
        "/v1/embeddings",
        json={"model": "default", "input": "x"},
        headers={"x-request-timeout": "3"},
    )
    await chat(client)

    assert house.inference.deadlines[0] < 3
    assert house.inference.deadlines[-1] > 60


async def test_a_callers_time_that_is_over_is_504(house: House):
    house.inference.endless = True
    answer = await chat(house.http(), **{"x-request-timeout": SHORT})

    assert answer.status_code == 504
    await eventually(lambda: house.inference.in_flight == 0)
