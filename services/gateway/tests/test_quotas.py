"""Limits of keys and tenants: what is refused, settled, and not noticed."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from gateway_support.budgets import chat, limited_key, set_tenant_limits, whole_budget
from gateway_support.grpc_client import open_channel
from gateway_support.house import House, run_house
from gateway_support.usage import all_usage
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_events_pb2 import BudgetState, UsageRecorded
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_gateway.entrypoints.schemas.keys import money
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house where models have prices."""
    prices = {"tiny": ("1", "2"), "*": ("0", "0")}
    async with run_house(tmp_path_factory.mktemp("house"), prices=prices) as running:
        yield running


async def test_a_key_pays_what_the_engine_counted_and_no_more(house: House):
    key, client = await limited_key(house, tokens=10_000, money="1")
    async with client:
        answer = await client.post("/v1/chat/completions", json=chat())
    usage = answer.json()["usage"]

    budget = await whole_budget(house, key, spent=usage["total_tokens"])

    async with house.http() as owner:
        shown = (await owner.get(f"/v1/keys/{key}")).json()["usage"]
        other = await owner.post("/v1/keys", json={"name": "without limits"})
        unlimited = (await owner.get(f"/v1/keys/{other.json()['id']}")).json()
    assert (shown["tokens"], shown["money"]) == (usage["total_tokens"], money(budget.spent_micros))
    assert unlimited["usage"] is None
    assert budget.spent_micros == usage["prompt_tokens"] + 2 * usage["completion_tokens"]
    assert budget.leased.parallel == 0


async def test_a_key_whose_tokens_are_used_up_is_told_so(house: House):
    _, client = await limited_key(house, tokens=300, period="month")
    async with client:
        refused = await client.post("/v1/chat/completions", json=chat(max_tokens=500))

    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == ("insufficient_quota", "rate_limit_error")
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert refused.headers["x-ratelimit-limit-tokens"] == "300"
    assert refused.headers["x-ratelimit-remaining-tokens"] == "300"


async def test_the_price_of_a_model_counts_by_whatever_name_it_is_asked(house: House):
    await house.say_alias("acme", "cheap", "mv-build")
    _, client = await limited_key(house, money="0.000001")
    async with client:
        by_alias = await client.post("/v1/chat/completions", json=chat(model="cheap"))
        by_id = await client.post("/v1/chat/completions", json=chat(model="mv-build"))
        free = await client.post("/v1/chat/completions", json=chat(model="kinds"))

    assert [each.status_code for each in (by_alias, by_id, free)] == [429, 429, 200]


async def test_requests_of_a_minute_are_counted_when_they_begin(house: House):
    _, client = await limited_key(house, requests_per_minute=3)
    async with client:
        statuses = [
            (await client.post("/v1/chat/completions", json=chat())).status_code for _ in range(4)
        ]
        refused = await client.post("/v1/moderations", json={"input": "hi"})

    assert statuses == [200, 200, 200, 429]
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"


async def test_only_so_many_requests_are_answered_at_a_time(house: House):
    house.inference.endless = True
    _, client = await limited_key(house, parallel_requests=1)
    async with client:
        body = chat(stream=True)
        async with client.stream("POST", "/v1/chat/completions", json=body) as first:
            assert first.status_code == 200
            second = await client.post("/v1/chat/completions", json=chat())
        house.inference.endless = False

        async def is_free() -> bool:
            third = await client.post("/v1/chat/completions", json=chat())
            return third.status_code == 200

        await eventually(is_free)

    assert second.json()["error"]["code"] == "rate_limit_exceeded"


async def test_an_answer_that_its_client_leaves_costs_what_was_generated(house: House):
    house.inference.endless = True
    key, client = await limited_key(house, tokens=100_000)
    async with client, client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as it:
        lines = it.aiter_lines()
        for _ in range(20):
            await anext(lines)

    async def is_settled() -> bool:
        newest = await house.bus.last(f"budget.state.{key}", BudgetState)
        return newest is not None and newest.body.spent_tokens > 0

    await eventually(is_settled)
    newest = await house.bus.last(f"budget.state.{key}", BudgetState)
    assert newest is not None
    assert 5 <= newest.body.spent_tokens < 1_000


async def test_an_input_that_is_refused_costs_nothing(house: House):
    key, client = await limited_key(house, tokens=10_000, requests_per_minute=10)
    async with client:
        blocked = await client.post("/v1/chat/completions", json=chat("forbidden fruit"))
        unknown = await client.post("/v1/chat/completions", json=chat(model="none"))
        good = await client.post("/v1/chat/completions", json=chat())

    assert (blocked.status_code, unknown.status_code) == (400, 404)
    await whole_budget(house, key, spent=good.json()["usage"]["total_tokens"])


async def test_a_limited_call_without_max_tokens_gets_a_bound(house: House):
    _, client = await limited_key(house, tokens=10_000)
    async with client:
        await client.post("/v1/chat/completions", json=chat())
    assert house.inference.requests[-1].options.max_new_tokens == 1024

    async with house.http() as free:
        await free.post("/v1/chat/completions", json=chat())
    assert house.inference.requests[-1].options.max_new_tokens == 0


async def test_answers_say_how_much_is_left(house: House):
    _, client = await limited_key(house, requests_per_minute=60, tokens=10_000)
    async with client, house.http() as free:
        headers = (await client.post("/v1/chat/completions", json=chat())).headers
        unlimited = (await free.post("/v1/chat/completions", json=chat())).headers

    assert headers["x-ratelimit-limit-requests"] == "60"
    assert 58 <= int(headers["x-ratelimit-remaining-requests"]) <= 59
    assert headers["x-ratelimit-limit-tokens"] == "10000"
    assert int(headers["x-ratelimit-remaining-tokens"]) < 10_000
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert not any(name.startswith("x-ratelimit") for name in unlimited)


async def test_a_tenants_limit_holds_for_all_its_keys_and_tokens(house: House):
    await set_tenant_limits(house, "small", tokens=1)
    key, client = await limited_key(house, tenant="small", tokens=10_000)
    async with client, house.http(tenant="small") as token, house.http() as other:
        answers = [
            await each.post("/v1/chat/completions", json=chat()) for each in (client, token, other)
        ]

    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert key
    assert "the tenant" in answers[0].json()["error"]["message"]


async def test_grpc_has_the_same_limits(house: House):
    key, client = await limited_key(house, requests_per_minute=1)
    async with open_channel(house.grpc_address, client.headers["authorization"][7:]) as channel:
        stub = GatewayServiceStub(channel)
        call = pb.ChatCall(model="default", messages=[{"role": "user", "content": "hi"}])
        await stub.Chat(pb.ChatRequest(call=call), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Chat(pb.ChatRequest(call=call), timeout=10)
    await client.aclose()

    assert key
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_embeddings_are_charged_by_their_tokens(house: House):
    key, client = await limited_key(house, tokens=10_000)
    async with client:
        answer = await client.post("/v1/embeddings", json={"model": "default", "input": "hi"})

    await whole_budget(house, key, spent=answer.json()["usage"]["total_tokens"])
    assert answer.headers["x-ratelimit-limit-tokens"] == "10000"


async def test_usage_names_the_key_and_what_it_cost(house: House):
    key, client = await limited_key(house, tokens=10_000)
    async with client:
        usage = (await client.post("/v1/chat/completions", json=chat())).json()["usage"]

    async def of_key() -> list[UsageRecorded]:
        return [record for record in await all_usage(house.bus) if record.key_id == key]

    async def is_there() -> bool:
        return len(await of_key()) == 1

    await eventually(is_there)
    (record,) = await of_key()
    assert record.micros == usage["prompt_tokens"] + 2 * usage["completion_tokens"]
