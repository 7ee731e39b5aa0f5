"""Batches by the unmodified OpenAI SDK, answered by the gateway's own worker."""

import asyncio
import json
import logging
from typing import Any

import openai
import pytest
from gateway_support.batches import CHAT, batch_of, ended, line, ordered, rows_of
from gateway_support.house import BLOCKED, BUILD, House
from gateway_support.usage import all_usage
from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill.gateway.v1.gateway_jobs_pb2 import Authority, BatchSpec
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import OverloadedError, UnavailableError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_each_request_of_a_file_is_answered_as_its_route_answers_it(house: House):
    client = house.openai()
    asked = [line(f"ask-{number}") for number in range(5)]
    batch = await ended(client, (await ordered(client, asked, metadata={"run": "one"})).id)

    assert (batch.status, batch.errors, batch.error_file_id) == ("completed", None, None)
    assert batch.metadata == {"run": "one"}
    assert batch.request_counts.model_dump() == {"total": 5, "completed": 5, "failed": 0}
    assert batch.created_at <= batch.in_progress_at <= batch.completed_at
    assert batch.expires_at == batch.created_at + 24 * 3600
    rows = await rows_of(client, batch.output_file_id)
    assert sorted(rows) == [f"ask-{number}" for number in range(5)]
    for row in rows.values():
        answer = row["response"]["body"]
        assert (row["error"], row["response"]["status_code"]) == (None, 200)
        assert answer["choices"][0]["message"]["content"] == "Hello, world"
        assert answer["system_fingerprint"] == BUILD
        assert answer["id"].removeprefix("chatcmpl-") in row["response"]["request_id"]
    assert len({row["response"]["request_id"] for row in rows.values()}) == 5
    kept = await client.files.retrieve(batch.output_file_id)
    assert kept.purpose == "batch_output"


async def test_completions_embeddings_and_responses_are_answered_as_well(house: House):
    client = house.openai()
    bodies: dict[str, dict[str, Any]] = {
        "/v1/completions": {"model": "default", "prompt": "once"},
        "/v1/embeddings": {"model": "default", "input": "once"},
        "/v1/responses": {"model": "default", "input": "once"},
    }
    for endpoint, body in bodies.items():
        asked = [line("only", url=endpoint, body=body)]
        batch = await ended(client, (await ordered(client, asked, endpoint=endpoint)).id)
        rows = await rows_of(client, batch.output_file_id)

        assert batch.status == "completed"
        assert rows["only"]["response"]["body"]["object"] in (
            *("text_completion", "list", "response"),
        )


async def test_each_request_of_a_batch_has_a_line_in_the_access_log(
    house: House, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "gateway.access")
    client = house.openai()
    asked = [line("good"), line("refused", model="nobody")]
    batch = await ended(client, (await ordered(client, asked)).id)
    rows = await rows_of(client, batch.output_file_id)
    lines = [record.fields for record in caplog.records if record.name == "gateway.access"]
    of_batch = [each for each in lines if each["method"] == "batch"]

    assert sorted((each["route"], each["status"], each["tenant"]) for each in of_batch) == [
        (CHAT, 200, "acme"),
        (CHAT, 404, "acme"),
    ]
    assert rows["good"]["response"]["request_id"] in {each["request_id"] for each in of_batch}


async def test_what_is_refused_over_http_is_refused_in_a_batch_and_stands_in_the_errors(
    house: House,
):
    client = house.openai()
    asked = [
        line("good"),
        line("blocked", content=f"some {BLOCKED} please"),
        line("nobody", model="nobody"),
        line("strange", body={"model": "default", "messages": [], "logit_bias": {"7": 1}}),
    ]
    batch = await ended(client, (await ordered(client, asked)).id)
    rows = await rows_of(client, batch.output_file_id)
    errors = await rows_of(client, batch.error_file_id)

    assert batch.request_counts.model_dump() == {"total": 4, "completed": 1, "failed": 3}
    assert list(rows) == ["good"]
    said = {
        name: (row["response"]["status_code"], row["response"]["body"]["error"]["code"])
        for name, row in errors.items()
    }
    assert said["blocked"] == (400, "content_policy_violation")
    assert said["nobody"] == (404, "model_not_found")
    assert said["strange"][0] == 400


async def test_everything_that_is_wrong_with_the_lines_is_said_at_once(house: House):
    client = house.openai()
    asked = [
        line("same"),
        line("same"),
        {"custom_id": "x", "method": "GET", "url": "/v1/embeddings", "body": {}},
        {"method": "POST", "url": "/v1/chat/completions", "body": {"model": "default"}},
        line("streamed", body={"model": "default", "messages": [], "stream": True}),
        "no JSON",
        ["no object"],
    ]
    batch = await ended(client, (await ordered(client, asked)).id)

    assert (batch.status, batch.output_file_id, batch.failed_at is None) == ("failed", None, False)
    assert [(each.line, each.code, each.param) for each in batch.errors.data] == [
        (2, "duplicate_custom_id", "custom_id"),
        (3, "invalid_method", "method"),
        (3, "invalid_url", "url"),
        (3, "missing_required_parameter", "body"),
        (4, "missing_required_parameter", "custom_id"),
        (5, "unsupported_parameter", "body"),
        (6, "invalid_json_line", None),
        (7, "invalid_json_line", None),
    ]
    assert house.inference.requests == []


async def test_an_order_that_cannot_be_is_refused_by_the_field_at_fault(house: House):
    client = house.openai()
    other = await client.files.create(file=("a.jsonl", b"{}\n"), purpose="fine-tune")
    good = await batch_of(client, [line("one")])
    wrong: dict[str, dict[str, Any]] = {
        "endpoint": {"endpoint": "/v1/moderations"},
        "completion_window": {"completion_window": "7d"},
        "input_file_id": {"input_file_id": other.id},
        "metadata": {"metadata": {f"k{number}": "v" for number in range(17)}},
        "output_expires_after": {"output_expires_after": {"anchor": "created_at", "seconds": 9}},
    }
    for field, change in wrong.items():
        order: dict[str, Any] = {
            "input_file_id": good.id,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        with pytest.raises(openai.BadRequestError) as refused:
            await client.batches.create(**(order | change))
        assert refused.value.param == field
    with pytest.raises(openai.BadRequestError, match="file-nobody"):
        await client.batches.create(**(order | {"input_file_id": "file-nobody"}))


async def test_no_room_is_waited_for_and_never_an_answer(house: House):
    client = house.openai()
    full = OverloadedError("the engine is full", retry_after_seconds=1.0)
    for trouble in (full, UnavailableError("away")):
        house.inference.reset()
        house.inference.fail_before = trouble
        batch = await ordered(client, [line("first"), line("second")])
        await eventually(lambda: len(house.inference.requests) >= 2)
        assert (await client.batches.retrieve(batch.id)).status in ("validating", "in_progress")
        house.inference.fail_before = None
        batch = await ended(client, batch.id)

        assert batch.request_counts.model_dump() == {"total": 2, "completed": 2, "failed": 0}


async def test_a_cancelled_batch_keeps_what_is_done(house: House):
    client = house.openai()
    house.inference.hold_after = 3
    batch = await ordered(client, [line(f"ask-{number}") for number in range(30)])
    await eventually(lambda: house.inference.in_flight >= 8)
    requested = await client.batches.cancel(batch.id)
    assert requested.status == "cancelling"
    batch = await ended(client, batch.id)
    rows = await rows_of(client, batch.output_file_id)

    assert (batch.status, batch.cancelled_at is None) == ("cancelled", False)
    assert batch.request_counts.completed == len(rows) == 3
    assert batch.request_counts.total == 30
    await eventually(lambda: house.inference.in_flight == 0)


async def test_a_batch_may_be_cancelled_before_anything_of_it_is_answered(house: House):
    client = house.openai()
    house.inference.hold_after = 0
    batch = await ordered(client, [line("one"), line("two")])
    await eventually(lambda: house.inference.in_flight == 2)
    await client.batches.cancel(batch.id)
    batch = await ended(client, batch.id)

    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("cancelled", None, None)
    assert batch.request_counts.model_dump() == {"total": 2, "completed": 0, "failed": 0}


async def test_the_counts_are_live(house: House):
    client = house.openai()
    house.inference.hold_after = 4
    batch = await ordered(client, [line(f"ask-{number}") for number in range(12)])

    async def four() -> bool:
        seen = await client.batches.retrieve(batch.id)
        return (seen.status, seen.request_counts.completed) == ("in_progress", 4)

    await eventually(four)
    house.inference.hold_after = None
    house.inference.held.set()
    assert (await ended(client, batch.id)).request_counts.completed == 12


async def test_each_answer_has_a_record_of_usage_of_its_own(house: House):
    client = house.openai(tenant="batch-payer", sub="somebody")
    batch = await ended(client, (await ordered(client, [line("a"), line("b")])).id)
    rows = await rows_of(client, batch.output_file_id)
    expected = {row["response"]["request_id"] for row in rows.values()}
    seen: dict[str, UsageRecorded] = {}

    async def all_there() -> bool:
        for record in await all_usage(house.bus, "batch-payer"):
            seen[record.request_id] = record
        return set(seen) == expected

    await eventually(all_there)
    assert {each.caller for each in seen.values()} == {"somebody"}
    assert {each.completion_tokens for each in seen.values()} == {3}


async def test_batches_are_listed_newest_first_and_only_to_their_tenant(house: House):
    mine, other = house.openai(tenant="lister"), house.openai(tenant="stranger")
    first = await ordered(mine, [line("one")])
    second = await ordered(mine, [line("one")])

    assert [each.id async for each in mine.batches.list(limit=1)] == [second.id, first.id]
    assert (await other.batches.list()).data == []
    for reach in (other.batches.retrieve, other.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            await reach(first.id)


async def test_a_repeated_key_is_the_first_batch(house: House):
    client = house.openai(tenant="repeater")
    stored = await batch_of(client, [line("one")])
    order: dict[str, Any] = {
        "input_file_id": stored.id,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "extra_headers": {"idempotency-key": "once"},
    }
    first, again = await asyncio.gather(*(client.batches.create(**order) for _ in range(2)))

    assert first.id == again.id
    with pytest.raises(openai.UnprocessableEntityError):
        await client.batches.create(**(order | {"metadata": {"another": "order"}}))


async def test_the_job_behind_a_batch_is_one_of_the_tenants_jobs(house: House):
    client = house.openai(tenant="worker")
    batch = await ended(client, (await ordered(client, [line("one")])).id)
    job = (await house.http(tenant="worker").get(f"/v1/jobs/{batch.id}")).json()

    assert (job["kind"], job["status"]) == ("batch", "succeeded")
    assert job["result"]["summary"]["completed"] == 1
    assert json.dumps(job).count("Hello") == 0


async def test_what_is_not_answered_within_the_window_is_told_in_the_errors(house: House):
    client = house.openai(tenant="late")
    stored = await batch_of(client, [line(f"ask-{number}") for number in range(20)])
    house.inference.hold_after = 3
    authority = Authority(subject="ann", scopes=["chat"])
    spec = BatchSpec(endpoint=CHAT, input_file_id=stored.id, window_seconds=6, authority=authority)
    order = {"kind": "batch", "prefix": "batch", "tenant": "late", "requested_by": "ann"}
    job = await JobQueue(house.bus).submit(**order, idempotency_key="", spec=spec)
    await eventually(lambda: house.inference.in_flight >= 8)
    batch = await ended(client, job.job_id)
    errors = await rows_of(client, batch.error_file_id)

    assert (batch.status, batch.errors) == ("expired", None)
    assert batch.expired_at >= batch.expires_at
    assert len(await rows_of(client, batch.output_file_id)) == 3
    assert {row["error"]["code"] for row in errors.values()} == {"batch_expired"}
    assert len(errors) == 17


async def test_a_paused_batch_goes_on_where_it_was(house: House):
    client, http = house.openai(tenant="pauser"), house.http(tenant="pauser")
    house.inference.hold_after = 5
    batch = await ordered(client, [line(f"ask-{number}") for number in range(12)])
    await eventually(lambda: house.inference.in_flight >= 7)
    await http.post(f"/v1/jobs/{batch.id}/pause")

    async def paused() -> bool:
        return bool((await http.get(f"/v1/jobs/{batch.id}")).json()["status"] == "paused")

    await eventually(paused)
    seen = await client.batches.retrieve(batch.id)
    assert (seen.status, seen.request_counts.completed) == ("in_progress", 5)
    asked = len(house.inference.requests)
    house.inference.hold_after = None
    await http.post(f"/v1/jobs/{batch.id}/resume")
    batch = await ended(client, batch.id)

    assert batch.request_counts.completed == 12
    assert len(house.inference.requests) - asked == 7
