"""A key draws on the limits of the key that made it, to any depth, whatever it asks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from gateway_support.api_keys import issued, with_key
from gateway_support.batches import ended, line, ordered
from gateway_support.budgets import budget, chat, set_tenant_limits, whole_budget
from gateway_support.evals import made, rows, run_of, sampled
from gateway_support.grpc_client import CALL_SECONDS, open_channel
from gateway_support.house import House
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_bus.subjects import budget_state, key_state
from modelmill_gateway.domain.access import MOST_IN_LINE
from modelmill_gateway.domain.ledger.budget import Budget, Limits
from modelmill_gateway.spending.budget_book import budget_message
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCOPES = ["keys", "chat", "files"]
LINE = {"tokens": 100_000}


async def line_of(house: House, depth: int, **limits: Any) -> list[dict[str, Any]]:
    """Keys of which each made the next, with the same limits, the first one's maker a token."""
    found = [await issued(house.http(), scopes=SCOPES, limits=limits)]
    while len(found) < depth:
        async with with_key(house, found[-1]["key"]) as client:
            found.append(await issued(client, scopes=SCOPES, limits=limits))
    return found


async def ask(house: House, key: str, **fields: Any) -> httpx.Response:
    async with with_key(house, key) as client:
        return await client.post("/v1/chat/completions", json=chat(**fields))


@pytest.mark.tier("test")
async def test_children_spend_together_no_more_than_their_maker_has(house: House):
    limits = {"tokens": 4_000}
    parent = await issued(house.http(), scopes=SCOPES, limits=limits)
    async with with_key(house, parent["key"]) as client:
        children = [await issued(client, scopes=["chat"], limits=limits) for _ in range(3)]
    spent, refused = 0, 0
    for _ in range(500):
        for child in children:
            answer = await ask(house, child["key"], max_tokens=1_000)
            if answer.is_success:
                spent += answer.json()["usage"]["total_tokens"]
            else:
                assert answer.json()["error"]["code"] == "insufficient_quota"
                assert parent["id"] in answer.json()["error"]["message"]
                refused += 1
        if refused >= len(children):
            break

    assert refused
    assert 0 < spent <= 4_000
    await whole_budget(house, parent["id"], spent=spent)


async def over_http(house: House, key: str, path: str, body: Any) -> None:
    async with with_key(house, key) as client:
        assert (await client.post(path, json=body)).status_code == 200


async def over_grpc(house: House, key: str) -> None:
    call = pb.ChatCall(model="default", messages=[{"role": "user", "content": "hi"}])
    async with open_channel(house.grpc_address, key) as channel:
        stub = GatewayServiceStub(channel)
        await stub.Chat(pb.ChatRequest(call=call), timeout=CALL_SECONDS)


async def streamed_over_grpc(house: House, key: str) -> None:
    call = pb.ChatCall(model="default", messages=[{"role": "user", "content": "hi"}])
    async with open_channel(house.grpc_address, key) as channel:
        request = pb.StreamChatRequest(call=call)
        answers = GatewayServiceStub(channel).StreamChat(request, timeout=CALL_SECONDS)
        assert [each async for each in answers]


async def in_a_batch(house: House, key: str) -> None:
    client = house.openai().with_options(api_key=key)
    batch = await ended(client, (await ordered(client, [line("one")])).id)
    assert batch.request_counts.completed == 1


async def in_an_eval(house: House, key: str) -> None:
    client = house.openai().with_options(api_key=key)
    run = await run_of(client, await made(client), sampled(rows("a")))
    assert run.status == "completed"


QUESTION = [{"role": "user", "content": "hi"}]
PATHS: dict[str, Any] = {
    "/generate": {"prompt": "hi"},
    "/v1/chat/completions": chat(),
    "/v1/completions": {"model": "default", "prompt": "hi"},
    "/v1/responses": {"model": "default", "input": "hi"},
    "/v1/messages": {"model": "default", "max_tokens": 9, "messages": QUESTION},
    "/v1/embeddings": {"model": "default", "input": "hi"},
}
WAYS: dict[str, Callable[[House, str], Awaitable[None]]] = {
    **{
        path: lambda house, key, path=path, body=body: over_http(house, key, path, body)
        for path, body in PATHS.items()
    },
    "Chat": over_grpc,
    "StreamChat": streamed_over_grpc,
    "batch": in_a_batch,
    "eval": in_an_eval,
}


@pytest.mark.parametrize("way", WAYS)
async def test_whatever_way_a_key_asks_all_that_made_it_pay_the_same(house: House, way: str):
    found = await line_of(house, 3, **LINE)
    await WAYS[way](house, found[-1]["key"])

    async def all_paid() -> bool:
        spent = {(await budget(house, key["id"])).spent_tokens for key in found}
        return len(spent) == 1 and spent != {0}

    await eventually(all_paid)


async def test_a_verdict_counts_as_a_request_of_all(house: House):
    parent, child = await line_of(house, 2, requests_per_minute=1)
    async with with_key(house, child["key"]) as client:
        assert (await client.post("/v1/moderations", json={"input": "hi"})).is_success
    async with with_key(house, parent["key"]) as client:
        refused = await client.post("/v1/moderations", json={"input": "hi"})
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"


async def test_all_of_the_longest_line_and_the_tenant_pay(house: House):
    await set_tenant_limits(house, "acme", tokens=10_000_000)
    found = await line_of(house, MOST_IN_LINE, **LINE)
    usage = (await ask(house, found[-1]["key"])).json()["usage"]
    for key in found:
        await whole_budget(house, key["id"], spent=usage["total_tokens"])
    async with with_key(house, found[-1]["key"]) as client:
        refused = await client.post("/v1/keys", json={"name": "x", "limits": LINE})
    assert (refused.status_code, "a chain of keys" in refused.json()["error"]["message"]) == (
        409,
        True,
    )


async def test_requests_at_a_time_are_those_of_the_whole_tree(house: House):
    parent, child = await line_of(house, 2, parallel_requests=1)
    async with with_key(house, parent["key"]) as client:
        sibling = await issued(client, scopes=["chat"], limits={"parallel_requests": 1})
    house.inference.endless = True
    async with with_key(house, child["key"]) as client:
        body = chat(stream=True)
        async with client.stream("POST", "/v1/chat/completions", json=body) as first:
            assert first.status_code == 200
            for other in (sibling, parent, child):
                assert (await ask(house, other["key"])).status_code == 429
        house.inference.endless = False

        async def is_free() -> bool:
            return (await ask(house, sibling["key"])).is_success

        await eventually(is_free)


async def test_limits_that_a_maker_gets_later_hold_for_what_it_made(house: House):
    parent = await issued(house.http(), scopes=SCOPES)
    async with with_key(house, parent["key"]) as client:
        child = await issued(client, scopes=["chat"])
    assert (await ask(house, child["key"])).is_success
    path = f"/v1/keys/{parent['id']}"
    await house.http().patch(path, json={"limits": {"requests_per_minute": 1}})
    # A new secret is no new key.
    await house.http().post(f"{path}/rotate")
    assert [(await ask(house, child["key"])).status_code for _ in range(2)] == [200, 429]
    await house.http().patch(path, json={"limits": None})
    assert (await ask(house, child["key"])).is_success


async def test_a_key_of_another_period_than_its_makers_pays_in_both(house: House):
    parent, child = await line_of(house, 2, tokens=2_000, period="month")
    day = {"limits": {"tokens": 2_000, "period": "day"}}
    await house.http().patch(f"/v1/keys/{child['id']}", json=day)
    assert (await ask(house, child["key"], max_tokens=5)).is_success
    await house.http().patch(f"/v1/keys/{parent['id']}", json={"limits": {"tokens": 1}})
    refused = await ask(house, child["key"], max_tokens=5)
    assert parent["id"] in refused.json()["error"]["message"]


async def test_who_is_refused_above_gives_back_what_it_held_below(house: House):
    parent, child = await line_of(house, 2, tokens=1_000)
    requested = {"limits": {"tokens": 1}}
    await house.http().patch(f"/v1/keys/{parent['id']}", json=requested)
    answers = await asyncio.gather(*(ask(house, child["key"]) for _ in range(4)))
    assert {each.status_code for each in answers} == {429}

    async def is_free() -> bool:
        found = await budget(house, child["id"])
        return not any(found.leased)

    await eventually(is_free)


async def test_a_key_passes_nowhere_before_its_limits_are_known_there(house: House):
    parent = await issued(house.http(), scopes=SCOPES)
    async with with_key(house, parent["key"]) as client:
        child = await issued(client, scopes=["chat"])
    stored = await house.bus.last(key_state(parent["id"]), KeyState)
    assert stored is not None
    stored.body.limited = True
    await house.bus.publish(stored.subject, stored.body, expect_last=stored.sequence)

    def answered(status: int, code: str) -> Callable[[], Awaitable[bool]]:
        async def both() -> bool:
            answers = [await ask(house, key["key"]) for key in (parent, child)]
            said = {(it.status_code, it.json()["error"]["code"]) for it in answers if it.is_error}
            return said == {(status, code)} and all(it.is_error for it in answers)

        return both

    await eventually(answered(503, "quota_unknown"))
    record = budget_message(Budget(parent["id"], "acme", Limits(tokens=1)))
    await house.bus.publish(budget_state(parent["id"]), record, expect_last=0)
    await eventually(answered(429, "insufficient_quota"))
