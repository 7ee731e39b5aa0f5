"""What usage says of answers that were stopped is what the budget was charged for them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_support.another_gateway import another_gateway
from gateway_support.budgets import chat
from gateway_support.house import BLOCKED, House, run_house
from gateway_support.messages import asking
from gateway_support.usage import all_usage
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPLETIONS, MESSAGES, EMBEDDINGS = "/v1/chat/completions", "/v1/messages", "/v1/embeddings"
STREAMS = [(COMPLETIONS, chat(stream=True)), (MESSAGES, asking(stream=True))]
LINES = 20
PROMPT = 7


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house where models have prices."""
    async with run_house(
        tmp_path_factory.mktemp("house"), prices={"*": ("1", "2")}, ledger_lease_seconds=1.0
    ) as running:
        yield running


async def limited(house: House, tenant: str) -> httpx.AsyncClient:
    """A client of a tenant with limits."""
    client = house.http(tenant=tenant)
    limits = {"tokens": 100_000, "money": "1000"}
    assert (await client.put("/v1/budget", json={"limits": limits})).is_success
    return client


async def leave(client: httpx.AsyncClient, path: str, body: dict[str, Any], lines: int) -> None:
    """Ask for a stream, and go away in its middle."""
    async with client.stream("POST", path, json=body) as answer:
        said = answer.aiter_lines()
        for _ in range(lines):
            await anext(said)


async def held(house: House, client: httpx.AsyncClient, path: str, body: Any) -> asyncio.Task[Any]:
    """A request whose engine says nothing."""
    house.inference.hold_after = 0
    waiting = asyncio.create_task(client.post(path, json=body))
    await eventually(lambda: house.inference.requests or house.inference.embedded)
    return waiting


async def both(house: House, client: httpx.AsyncClient, tenant: str, ended: str) -> dict[str, int]:
    """What usage says, once the budget says the same; and how the answer ended on record."""
    now = int(datetime.now(UTC).timestamp())
    span = {"start_time": now - 3600, "end_time": now + 60}

    async def same() -> dict[str, int] | None:
        page = (await client.get("/v1/usage", params=span)).json()
        sums = [one for bucket in page["data"] for one in bucket["results"]]
        budget = (await client.get("/v1/budget")).json()["usage"]
        if not sums or not budget["tokens"]:
            return None
        (one,) = sums
        tokens = one["input_tokens"] + one["output_tokens"]
        money = round(Decimal(budget["money"]) * 1_000_000)
        is_same = (tokens, one["cost_micros"]) == (budget["tokens"], money)
        return one if is_same and one["num_model_requests"] else None

    found = await eventually(same)
    assert found is not None
    assert [record.finish_reason for record in await all_usage(house.bus, tenant)] == [ended]
    return found


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize(("path", "body"), STREAMS)
async def test_a_stream_that_its_client_leaves(
    house: House, path: str, body: dict[str, Any], *, counts: bool
):
    tenant = f"left-{path.rpartition('/')[2]}-{counts}".lower()
    house.inference.endless, house.inference.counts = True, counts
    client = await limited(house, tenant)
    await leave(client, path, body, LINES)

    used = await both(house, client, tenant, "cancelled")
    assert used["output_tokens"] > 0
    # An engine that does not count as it goes has not told the prompt: its bound is charged.
    assert (used["input_tokens"] == PROMPT) == counts


async def test_an_answer_that_is_left_before_the_engine_said_anything(house: House):
    client = await limited(house, "early")
    waiting = await held(house, client, COMPLETIONS, chat())
    waiting.cancel()

    used = await both(house, client, "early", "cancelled")
    assert (used["input_tokens"] > PROMPT, used["output_tokens"]) == (True, 0)


async def test_an_embedding_that_a_gateway_breaks_off_as_it_ends(house: House):
    async with another_gateway(house, drain_seconds=0.1) as ending:
        client = await limited(ending.house, "embedding")
        body = {"model": "default", "input": "hello"}
        waiting = await held(house, client, EMBEDDINGS, body)
    await asyncio.gather(waiting, return_exceptions=True)

    used = await both(house, house.http(tenant="embedding"), "embedding", "cancelled")
    assert used["input_tokens"] > PROMPT


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_the_guard_ends(house: House, *, stream: bool):
    house.inference.pieces, house.inference.counts = ["a ", f"the {BLOCKED}", " and", " more"], True
    tenant = f"guarded-{stream}".lower()
    client = await limited(house, tenant)
    await client.post(COMPLETIONS, json=chat(stream=stream))

    used = await both(house, client, tenant, "content_filter")
    assert (used["input_tokens"], used["output_tokens"]) == (PROMPT, 3)


async def test_several_answers_one_of_which_the_guard_ends(house: House):
    house.inference.answers = {0: [f"the {BLOCKED}"], 1: ["Hello"], 2: ["Hello", " you"]}
    client = await limited(house, "several")
    await client.post(COMPLETIONS, json=chat(n=3))

    used = await both(house, client, "several", "content_filter")
    assert (used["input_tokens"], used["output_tokens"]) == (PROMPT, 4)


async def test_an_engine_that_dies_in_the_middle(house: House):
    house.inference.fail_after, house.inference.counts = UnavailableError("the engine died"), True
    client = await limited(house, "died")
    await client.post(COMPLETIONS, json=chat(stream=True))

    used = await both(house, client, "died", "error")
    assert (used["num_failed_requests"], used["num_timed_requests"]) == (1, 1)
    assert used["first_token_seconds"] > 0
    assert (used["input_tokens"], used["output_tokens"]) == (PROMPT, 3)


async def test_a_stream_whose_time_is_over(house: House):
    house.inference.endless, house.inference.counts = True, True
    async with another_gateway(house, request_seconds=2.5) as hurried:
        client = await limited(hurried.house, "late")
        await client.post(COMPLETIONS, json=chat(stream=True))
        used = await both(hurried.house, client, "late", "error")
        await client.aclose()

    assert used["input_tokens"] == PROMPT
    assert used["output_tokens"] > 0


async def test_of_a_caller_without_limits_what_was_generated_is_on_record_too(house: House):
    house.inference.endless, house.inference.counts = True, True
    await leave(house.http(tenant="free"), COMPLETIONS, chat(stream=True), LINES)

    async def records() -> list[Any]:
        return await all_usage(house.bus, "free")

    (record,) = await eventually(records)
    assert (record.finish_reason, record.prompt_tokens) == ("cancelled", PROMPT)
    assert record.completion_tokens > 3
    assert record.micros == PROMPT + 2 * record.completion_tokens
