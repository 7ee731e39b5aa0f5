"""Webhooks on the whole gateway: who is told what, and what callers can do."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from gateway_support.another_gateway import another_gateway
from gateway_support.document import schema_validator
from gateway_support.house import House, run_house
from gateway_support.receiver import is_genuine, receiving
from gateway_support.webhooks import (
    about,
    all_told,
    attempts,
    job_moves,
    jobs_succeed,
    registered,
    say_dataset,
    shown,
)
from modelmill.gateway.v1.gateway_events_pb2 import WebhookState
from modelmill.jobs.v1 import job_pb2 as jobs_pb
from modelmill_bus.subjects import webhook_state
from modelmill_gateway.domain.webhooks import EVENT_TYPES
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.waiting import eventually

EVENT_SCHEMA = schema_validator({"$ref": "#/components/schemas/WebhookEvent"})
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    async with run_house(folder, webhook_allow_private=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def own_broker_house(tmp_path: Path) -> AsyncIterator[House]:
    """With a store that holds what this test brought about and nothing else."""
    broker = run_nats(tmp_path / "nats")
    async with run_house(tmp_path, broker, webhook_allow_private=True) as running:
        yield running


async def test_an_event_is_one_delivery_that_the_example_takes_for_genuine(house: House):
    async with receiving() as receiver, house.http(tenant="first") as client:
        webhook = await registered(client, receiver, "job.succeeded")
        result = jobs_pb.JobResult(digest="sha256:4c1f", version_id="mv-1")
        result.summary.update({"quoted": "a row"})
        await job_moves(house, "first", "ftjob-1", "succeeded", result=result)
        (request,) = await eventually(lambda: receiver.requests)

    assert is_genuine(webhook["secret"], request)
    assert request.line == "POST /hook?key=of-the-owner HTTP/1.1"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["user-agent"] == "Modelmill-Webhooks/1"
    assert request.headers["content-type"] == "application/json"
    event = json.loads(request.body)
    assert (event["type"], event["timestamp"][-1]) == ("job.succeeded", "Z")
    assert event["data"] == {
        "id": "ftjob-1",
        "object": "job",
        "kind": "train",
        "status": "succeeded",
        "attempt": 0,
        "started_at": None,
        "finished_at": None,
        "result": {"digest": "sha256:4c1f", "version_id": "mv-1"},
        "error": None,
    }


async def test_each_event_is_told_once_and_nothing_else_is(house: House):
    async with receiving() as receiver, house.http(tenant="each") as client:
        await job_moves(house, "each", "job-old", "succeeded")
        await registered(client, receiver)
        await job_moves(house, "another", "job-x", "succeeded")
        await job_moves(house, "each", "job-1", "queued")
        await job_moves(house, "each", "job-1", "running")
        checkpoint = jobs_pb.Checkpoint(digest="sha256:9a", step=7)
        await job_moves(house, "each", "job-1", "running", fence=3, checkpoint=checkpoint)
        for status in ("paused", "cancelled", "succeeded"):
            await job_moves(house, "each", "job-1", status)
        error = jobs_pb.JobError(code="NO_VALID_ROWS", message="row 'a b'", log_tail="a row")
        await job_moves(house, "each", "job-1", "failed", error=error)
        await house.say_model("mv-each", tenant="each", name="kinds", form="openvino-int8")
        await house.say_model("mv-all", tenant="shared", name="tiny", form="safetensors")
        await say_dataset(house, "each", "ds-each")
        await eventually(lambda: len(receiver.requests) >= len(EVENT_TYPES))
        await eventually(lambda: all_told(house))

    for request in receiver.requests:
        EVENT_SCHEMA.validate(json.loads(request.body))
    told = {about(request)[0]: request for request in receiver.requests}
    assert len(receiver.requests) == len(EVENT_TYPES)
    assert told.keys() == set(EVENT_TYPES)
    assert {about(request)[1] for request in receiver.requests} == {"job-1", "mv-each", "ds-each"}
    failed = json.loads(told["job.failed"].body)
    assert failed["data"]["error"] == {"code": "NO_VALID_ROWS"}
    assert "row" not in json.dumps(failed["data"])


async def test_an_endpoint_hears_only_what_it_asked_for_last(house: House):
    async with receiving() as receiver, house.http(tenant="picky") as client:
        webhook = await registered(client, receiver, "job.failed")
        await jobs_succeed(house, "picky", ["job-1"])
        # What is asked for counts when an event is handled, which may be later than it happened.
        await eventually(lambda: all_told(house))
        changed = await client.patch(
            f"/v1/webhooks/{webhook['id']}", json={"events": ["job.succeeded", "job.succeeded"]}
        )
        await jobs_succeed(house, "picky", ["job-2"])
        await eventually(lambda: receiver.requests)
        await client.delete(f"/v1/webhooks/{webhook['id']}")
        await jobs_succeed(house, "picky", ["job-3"])
        await eventually(lambda: all_told(house))
        again = await registered(client, receiver, "job.succeeded")
        await jobs_succeed(house, "picky", ["job-4"])
        await eventually(lambda: len(receiver.requests) >= 2)

    assert changed.json()["events"] == ["job.succeeded"]
    assert [about(each)[1] for each in receiver.requests] == ["job-2", "job-4"]
    assert again["id"] != webhook["id"]


async def test_after_a_rotation_both_secrets_sign(house: House):
    async with receiving() as receiver, house.http(tenant="rotating") as client:
        webhook = await registered(client, receiver)
        rotated = (await client.post(f"/v1/webhooks/{webhook['id']}/rotate")).json()
        await client.post(f"/v1/webhooks/{webhook['id']}/test")
        (request,) = await eventually(lambda: receiver.requests)
        later = (await client.post(f"/v1/webhooks/{webhook['id']}/rotate")).json()
        await client.post(f"/v1/webhooks/{webhook['id']}/test")
        await eventually(lambda: len(receiver.requests) == 2)

    assert rotated["secret"] != webhook["secret"]
    assert 86_000 < rotated["previous_secret_until"] - rotated["created_at"] < 86_800
    assert is_genuine(webhook["secret"], request)
    assert is_genuine(rotated["secret"], request)
    second = receiver.requests[1]
    assert is_genuine(later["secret"], second)
    assert not is_genuine(webhook["secret"], second)


async def test_a_secret_that_was_replaced_a_day_ago_signs_no_more(house: House):
    async with receiving() as receiver, house.http(tenant="rotated") as client:
        webhook = await registered(client, receiver)
        rotated = (await client.post(f"/v1/webhooks/{webhook['id']}/rotate")).json()
        stored = await house.bus.last(webhook_state(webhook["id"]), WebhookState)
        stored.body.previous_until.FromSeconds(int(time.time()) - 1)
        await house.bus.publish(webhook_state(webhook["id"]), stored.body)
        await jobs_succeed(house, "rotated", ["job-1"])
        (request,) = await eventually(lambda: receiver.requests)

    assert is_genuine(rotated["secret"], request)
    assert not is_genuine(webhook["secret"], request)


async def test_a_test_event_and_what_came_of_it_are_shown(house: House):
    async with receiving() as receiver, house.http(tenant="testing") as client:
        webhook = await registered(client, receiver, "job.failed")
        sent = (await client.post(f"/v1/webhooks/{webhook['id']}/test")).json()
        (attempt,) = await eventually(lambda: attempts(client, webhook))

    (request,) = receiver.requests
    assert about(request) == ("webhook.test", webhook["id"])
    assert request.id == sent["delivery_id"] == attempt["delivery_id"]
    assert (attempt["outcome"], attempt["status"], attempt["attempt"]) == ("delivered", 204, 1)
    assert attempt["next_at"] is None


async def test_another_tenant_can_neither_see_nor_change_an_endpoint(house: House):
    async with receiving() as receiver:
        owner, stranger = house.http(tenant="owner"), house.http(tenant="stranger")
        webhook = await registered(owner, receiver)
        path = f"/v1/webhooks/{webhook['id']}"
        for attempt in (
            stranger.get(path),
            stranger.patch(path, json={"enabled": False}),
            stranger.post(f"{path}/rotate"),
            stranger.post(f"{path}/test"),
            stranger.get(f"{path}/deliveries"),
            stranger.delete(path),
        ):
            assert (await attempt).status_code == 404
        assert (await stranger.get("/v1/webhooks")).json()["data"] == []
        assert await shown(owner, webhook) == {k: v for k, v in webhook.items() if k != "secret"}


async def test_the_secret_is_shown_once_and_stored_nowhere_in_clear(
    own_broker_house: House, caplog: pytest.LogCaptureFixture
):
    house = own_broker_house
    caplog.set_level(logging.DEBUG)
    async with receiving() as receiver, house.http(tenant="secretive") as client:
        webhook = await registered(client, receiver)
        rotated = (await client.post(f"/v1/webhooks/{webhook['id']}/rotate")).json()
        await client.post(f"/v1/webhooks/{webhook['id']}/test")
        await eventually(lambda: receiver.requests)
        seen = [
            (await client.get("/v1/webhooks")).text,
            (await client.get(f"/v1/webhooks/{webhook['id']}")).text,
            (await client.get(f"/v1/webhooks/{webhook['id']}/deliveries")).text,
            receiver.requests[0].body.decode(),
        ]
    store = Path(house.settings.artifact_root).parent / "nats"
    stored = b"".join(file.read_bytes() for file in store.rglob("*") if file.is_file())
    assert webhook["id"].encode() in stored
    ours = [record for record in caplog.records if record.name.split(".")[0] in OURS]
    for secret in (webhook["secret"], rotated["secret"]):
        bare = secret.removeprefix("whsec_")
        assert not any(bare in text for text in seen)
        assert bare.encode() not in stored
        assert not any(bare in record.getMessage() for record in ours)
    assert not any("of-the-owner" in record.getMessage() for record in ours)


OURS = (
    "modelmill_gateway",
    "modelmill_jobs",
    "modelmill_registry",
    "modelmill_service_kit",
    "httpx",
    "nats",
)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"url": "ftp://127.0.0.1/x"}, "https"),
        ({"url": "http://u:p@127.0.0.1/x"}, "user name"),
        ({"url": "http://127.0.0.1/x#y"}, "fragment"),
        ({"url": "http://127.0.0.1/x y"}, "printable"),
        ({"url": "http://does-not.exist.invalid/"}, "not known"),
        ({"url": "http://127.0.0.1/x", "events": []}, "at least 1"),
        ({"url": "http://127.0.0.1/x", "events": ["job.born"]}, "job.running"),
        ({"url": "http://127.0.0.1/x", "secret": "mine"}, "unknown field"),
    ],
)
async def test_a_wrong_endpoint_is_refused_with_the_reason(
    house: House, body: dict[str, object], said: str
):
    async with house.http(tenant="wrong") as client:
        answer = await client.post("/v1/webhooks", json=body)
        listed = await client.get("/v1/webhooks")

    assert answer.status_code in (400, 422)
    assert said in answer.json()["error"]["message"]
    assert listed.json()["data"] == []


async def test_a_tenant_has_twenty_endpoints_at_most(house: House):
    async with receiving() as receiver, house.http(tenant="many") as client:
        for _ in range(20):
            await registered(client, receiver)
        refused = await client.post("/v1/webhooks", json={"url": receiver.url})
        page = (await client.get("/v1/webhooks", params={"limit": 5})).json()

    assert (refused.status_code, page["has_more"], len(page["data"])) == (409, True, 5)


async def test_without_a_key_every_route_says_what_is_missing(house: House):
    async with another_gateway(house, webhook_key=None) as other, other.house.http() as client:
        answers = await asyncio.gather(
            client.post("/v1/webhooks", json={"url": "https://example.com"}),
            client.get("/v1/webhooks"),
            client.post("/v1/webhooks/wh-x/test"),
        )

    assert {answer.status_code for answer in answers} == {409}
    assert all("GATEWAY_WEBHOOK_KEY" in answer.text for answer in answers)


async def test_replicas_share_the_work_and_know_each_others_endpoints(house: House):
    names = [f"job-{number}" for number in range(30)]
    async with (
        receiving() as receiver,
        another_gateway(house) as other,
        house.http(tenant="shared-out") as client,
        other.house.http(tenant="shared-out") as elsewhere,
    ):
        webhook = await registered(elsewhere, receiver)
        await jobs_succeed(house, "shared-out", names)
        await eventually(lambda: len(receiver.ids) == len(names))
        for each in (client, elsewhere):
            await eventually(lambda client=each: _all_shown(client, webhook, len(names)))

    assert sorted(about(request)[1] for request in receiver.requests) == sorted(names)


async def _all_shown(client, webhook, count: int) -> bool:
    return len(await attempts(client, webhook)) == count
