"""What a tenant used: sums over its records, up to date with all that the bus holds."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.house import BUILD, House
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch, UsageRecorded
from modelmill_bus.subjects import usage_recorded
from modelmill_gateway.domain.usage_rows import GROUPS, UsageQuestion, UsageRows, UsedRequest
from modelmill_testkit.waiting import eventually
from openai import AsyncOpenAI

served = pytest.mark.asyncio(loop_scope="module")

DAY = 86400
MONDAY = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp())
RECORDS = (
    # seconds after Monday, version, key, caller, tokens in, out, micros
    (10, "mv-a", "key-1", "ann", 100, 10, 7),
    (50, "mv-a", "key-2", "ann", 200, 20, 7),
    (70, "mv-b", "", "bob", 300, 30, 0),
    (3600, "mv-a", "key-1", "ann", 400, 40, 9),
    (DAY + 5, "mv-b", "", "bob", 500, 50, 1),
)


async def recorded(house: House, tenant: str) -> None:
    for number, (after, version, key, caller, tokens_in, out, micros) in enumerate(RECORDS):
        record = UsageRecorded(
            caller=caller,
            version_id=version,
            key_id=key,
            prompt_tokens=tokens_in,
            completion_tokens=out,
            micros=micros,
        )
        await publish(house, tenant, number, record, after)


async def publish(
    house: House, tenant: str, number: int, record: UsageRecorded, after: int
) -> None:
    """Record a request that was made so many seconds after Monday began."""
    record.request_id, record.tenant = f"req-{tenant}-{number}", tenant
    record.at.FromSeconds(MONDAY + after)
    batch = UsageBatch(tenant=tenant, requests=[record])
    await house.bus.publish(usage_recorded(tenant), batch, msg_id=record.request_id)


async def asked(house: House, tenant: str, **query: Any) -> dict[str, Any]:
    query = {"start_time": MONDAY, "end_time": MONDAY + 2 * DAY} | query
    answer = await house.http(tenant=tenant).get("/v1/usage", params=query)
    assert answer.is_success, answer.text
    page: dict[str, Any] = answer.json()
    return page


def figures(page: dict[str, Any]) -> list[list[tuple[Any, ...]]]:
    fields = ("num_model_requests", "input_tokens", "output_tokens", "cost_micros")
    return [
        [(*(one[name] for name in GROUPS if one[name]), *(one[each] for each in fields))
         for one in bucket["results"]]
        for bucket in page["data"]
    ]  # fmt: skip


@served
async def test_days_are_summed_by_utc_at_once_and_for_the_tenant_alone(house: House):
    await asyncio.gather(recorded(house, "summed"), recorded(house, "neighbour"))
    page = await asked(house, "summed")

    assert figures(page) == [[(4, 1000, 100, 23)], [(1, 500, 50, 1)]]
    assert [each["start_time"] for each in page["data"]] == [MONDAY, MONDAY + DAY]
    assert page["data"][1]["end_time"] == MONDAY + 2 * DAY
    assert (page["has_more"], page["next_page"]) == (False, None)
    assert figures(await asked(house, "nobody")) == [[], []]


@served
async def test_sums_are_kept_apart_by_model_key_and_caller(house: House):
    await recorded(house, "grouped")
    day = {"end_time": MONDAY + DAY}
    by_model = await asked(house, "grouped", group_by="model", **day)
    by_both = await asked(house, "grouped", group_by="key,caller", **day)

    assert figures(by_model) == [[("mv-a", 3, 700, 70, 23), ("mv-b", 1, 300, 30, 0)]]
    assert figures(by_both) == [
        [
            ("bob", 1, 300, 30, 0),
            ("key-1", "ann", 2, 500, 50, 16),
            ("key-2", "ann", 1, 200, 20, 7),
        ]
    ]


@served
async def test_only_what_is_asked_for_is_summed(house: House):
    await recorded(house, "filtered")
    only = await asked(house, "filtered", models="mv-a", api_key_ids="key-1")
    late = await asked(house, "filtered", start_time=MONDAY + 50, end_time=MONDAY + 3600)

    assert figures(only) == [[(2, 500, 50, 16)], []]
    assert figures(late) == [[(2, 500, 50, 7)]]
    assert figures(await asked(house, "filtered", models="mv-never")) == [[], []]


@served
async def test_speed_is_summed_over_answers_that_had_a_first_token(house: House):
    answers = (
        # seconds to the first token and in all, tokens, how it ended
        (0.5, 2.5, 21, "stop"),
        (1.5, 1.5, 1, "length"),
        (0.25, 1.25, 3, "error"),
        (0.0, 9.0, 0, "error"),
    )
    for number, (first, total, tokens, reason) in enumerate(answers):
        record = UsageRecorded(
            first_token_seconds=first,
            total_seconds=total,
            completion_tokens=tokens,
            finish_reason=reason,
        )
        await publish(house, "timed", number, record, after=number)
    ((sums,), _) = (bucket["results"] for bucket in (await asked(house, "timed"))["data"])

    assert (sums["num_model_requests"], sums["num_failed_requests"]) == (4, 2)
    assert (sums["num_timed_requests"], sums["first_token_seconds"]) == (3, 2.25)
    assert (sums["generation_seconds"], sums["generated_tokens"]) == (3.0, 22)


@served
async def test_hours_and_minutes_come_in_pages_that_follow_on_each_other(house: House):
    await recorded(house, "paged")
    query = {"bucket_width": "1m", "end_time": MONDAY + 180, "limit": 1}
    seen, page = [], await asked(house, "paged", **query)
    seen += figures(page)
    while page["has_more"]:
        page = await asked(house, "paged", **query, page=page["next_page"])
        seen += figures(page)
    hours = await asked(house, "paged", bucket_width="1h", end_time=MONDAY + 7200)

    assert seen == [[(2, 300, 30, 14)], [(1, 300, 30, 0)], []]
    assert figures(hours) == [[(3, 600, 60, 14)], [(1, 400, 40, 9)]]


@served
@pytest.mark.parametrize(
    ("query", "width", "buckets"),
    [
        ({}, DAY, 7),
        ({"bucket_width": "1h"}, 3600, 24),
        ({"bucket_width": "1m"}, 60, 60),
        ({"last": 9}, DAY, 9),
    ],
)
async def test_without_a_start_the_latest_buckets_are_summed_ungrouped(
    house: House, query: dict[str, Any], width: int, buckets: int
):
    await recorded(house, "latest")
    end = MONDAY + DAY + 10
    starts, seen, page = [], [], await latest(house, query | {"end_time": end})
    while True:
        starts += [each["start_time"] for each in page["data"]]
        seen += [one for bucket in figures(page) for one in bucket]
        if not page["has_more"]:
            break
        page = await latest(house, query | {"end_time": end, "page": page["next_page"]})

    first = end - end % width - (buckets - 1) * width
    assert starts == [*range(first, end, width)]
    assert seen[-1] == (1, 500, 50, 1)
    assert all(len(one) == len(seen[-1]) for one in seen)


@served
async def test_without_a_question_days_are_summed_until_now(house: House):
    days = (await latest(house, {}))["data"]

    assert [day["start_time"] % DAY for day in days] == [0] * 7
    assert days[-1]["end_time"] - days[-1]["start_time"] <= DAY


async def latest(house: House, query: dict[str, Any]) -> dict[str, Any]:
    """A page of which no start was asked."""
    answer = await house.http(tenant="latest").get("/v1/usage", params=query)
    assert answer.is_success, answer.text
    page: dict[str, Any] = answer.json()
    return page


@served
async def test_openais_client_finds_it_where_it_looks_for_it(house: House):
    await recorded(house, "asker")
    client = AsyncOpenAI(
        base_url=f"{house.url}/v1", admin_api_key=house.issuer.token(tenant="asker"), api_key="-"
    )
    page = await client.admin.organization.usage.completions(
        start_time=MONDAY, end_time=MONDAY + DAY, group_by=["model", "api_key_id"], limit=1
    )
    await client.close()

    results = page.data[0].results
    assert [(each.model, each.api_key_id, each.input_tokens) for each in results] == [
        ("mv-a", "key-1", 500),
        ("mv-a", "key-2", 200),
        ("mv-b", None, 300),
    ]


@served
async def test_an_answer_is_in_the_figures_of_every_gateway_and_of_one_that_starts_later(
    house: House,
):
    client = house.openai(tenant="answered", sub="ann")
    await client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": "hi"}]
    )
    expected = [[(BUILD, "ann", 1, 7, 3, 0)]]

    async def there(where: House) -> bool:
        now = int(datetime.now(UTC).timestamp())
        span = {"start_time": now - 3600, "end_time": now + 1, "limit": 31}
        page = await asked(where, "answered", **span, group_by="model,caller")
        return [each for each in figures(page) if each] == expected

    await eventually(lambda: there(house))
    async with another_gateway(house) as later:
        await eventually(lambda: there(later.house))


@served
@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"start_time": 5, "last": 2}, "last"),
        ({"last": 0}, "last"),
        ({"last": 1441}, "last"),
        ({"end_time": 0}, "end_time"),
        ({"start_time": "monday"}, "start_time"),
        ({"start_time": 5, "end_time": 5}, "end_time"),
        ({"start_time": 5, "bucket_width": "1w"}, "bucket_width"),
        ({"start_time": 5, "limit": 32}, "limit"),
        ({"start_time": 5, "group_by": "project_id"}, "group_by"),
        ({"start_time": 5, "batch": "true"}, "batch"),
        ({"start_time": 5, "page": "page_x"}, "page"),
    ],
)
async def test_a_wrong_question_is_refused_by_the_field_at_fault(
    house: House, query: dict[str, Any], param: str
):
    answer = await house.http().get("/v1/usage", params=query)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


USED = st.builds(
    UsedRequest,
    at=st.integers(0, 400),
    model=st.sampled_from(["a", "b"]),
    api_key_id=st.sampled_from(["", "k"]),
    user_id=st.sampled_from(["x", "y"]),
    input_tokens=st.integers(0, 9),
    output_tokens=st.integers(0, 9),
    micros=st.integers(0, 2**40),
    failed=st.booleans(),
)


@settings(deadline=None)
@given(
    st.lists(USED, max_size=30),
    st.integers(0, 300),
    st.integers(1, 200),
    st.lists(st.sampled_from(GROUPS), unique=True),
)
def test_whatever_the_width_and_the_groups_nothing_is_lost_or_counted_twice(
    used: list[UsedRequest], start: int, length: int, group_by: list[str]
):
    rows = UsageRows()
    for each in used:
        rows.add(each)
    end = start + length
    for width in (7, 60, 1000):
        question = UsageQuestion(start, end, width, 1000, tuple(group_by))
        buckets = rows.buckets(question)
        sums = [each for bucket in buckets for each in bucket.sums.values()]
        inside = [each for each in used if start <= each.at < end]

        assert sum(each.requests for each in sums) == len(inside)
        assert sum(each.micros for each in sums) == sum(each.micros for each in inside)
        assert sum(each.failed for each in sums) == sum(each.failed for each in inside)
        edges = [bucket.start for bucket in buckets] + [buckets[-1].end]
        assert [bucket.end for bucket in buckets] == edges[1:]
        assert (edges[0], edges[-1]) == (start, end)
