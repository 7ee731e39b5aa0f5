"""`mill state verify` finds what a snapshot or the gateway says otherwise than the streams."""

import asyncio
import hashlib
import json
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest_asyncio
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_SUCCEEDED, JobState
from modelmill.jobs.v1.snapshot_pb2 import SnapshotPart, SnapshotState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_state, snapshot_part, snapshot_state
from modelmill_cli.state_check import compare_gateway, compare_snapshot
from modelmill_client import Modelmill
from modelmill_job_index.book import Rest, pack, unpack
from modelmill_job_index.index import JobIndex
from modelmill_job_index.snapshots import LENGTH_BYTES, MODEL, Snapshots
from modelmill_jobs.submit import JobQueue
from modelmill_testkit.shared_nats import shared_nats


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[Bus]:
    async with (
        shared_nats() as server,
        Bus.connect(server.url, server.token, name="tester") as connected,
    ):
        yield connected


async def ended_job(bus: Bus) -> str:
    job = await JobQueue(bus).submit(
        kind="train",
        prefix="ftjob",
        tenant="acme",
        requested_by="tester",
        idempotency_key="",
        spec=Struct(),
    )
    state = JobState(job_id=job.job_id, status=JOB_STATUS_SUCCEEDED, attempt=1)
    await bus.publish(job_state(job.job_id), state)
    return job.job_id


async def snapshot(bus: Bus) -> None:
    ledger = JobIndex(bus)
    running = asyncio.create_task(ledger.run())
    await ledger.ready.wait()
    await Snapshots(bus).save(ledger.book, ledger.sequence)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_snapshot_that_says_what_the_streams_say_is_equal(bus):
    await ended_job(bus)
    assert (await compare_snapshot(bus)).name == "jobs (snapshot: none in use)"
    await snapshot(bus)
    await ended_job(bus)
    compared = await compare_snapshot(bus)
    assert (compared.name, compared.count, compared.difference) == ("jobs (snapshot)", 2, "")


async def test_a_snapshot_with_another_state_and_a_valid_checksum_differs(bus):
    job_id = await ended_job(bus)
    await snapshot(bus)
    found = await Snapshots(bus).newest()
    assert found is not None
    entry = unpack(found.records[0])
    entry.state.status = JOB_STATUS_FAILED
    record = pack(job_id, entry)
    assert Rest.of(record)[1].status == JOB_STATUS_FAILED
    content = zlib.compress(len(record).to_bytes(LENGTH_BYTES) + record)
    await bus.publish(snapshot_part(MODEL, "damaged"), SnapshotPart(content=content))
    stored = await bus.last(snapshot_state(MODEL), SnapshotState)
    stored.body.snapshot_id, stored.body.parts = "damaged", 1
    stored.body.content_sha256 = hashlib.sha256(content).hexdigest()
    await bus.publish(snapshot_state(MODEL), stored.body)

    compared = await compare_snapshot(bus)
    told, truth = compared.difference.split(", the streams say ")
    assert told.startswith(f"{job_id}: the snapshot says failed")
    # In one line, and as JSON what was asked for.
    assert "\n" not in compared.difference
    for words in (told, truth):
        asked = json.loads(words.partition("(asked for: ")[2].removesuffix(")"))
        assert (asked["job_id"], asked["kind"], asked["tenant"]) == (job_id, "train", "acme")


def gateway_with(jobs: list[dict]) -> httpx.MockTransport:
    """Has these jobs and nothing else, in pages of one."""

    def answer(request: httpx.Request) -> httpx.Response:
        items = jobs if request.url.path == "/v1/jobs" else []
        ids = [item["id"] for item in items]
        after = request.url.params.get("after")
        start = ids.index(after) + 1 if after else 0
        page = {"data": items[start : start + 1], "has_more": start + 1 < len(items)}
        return httpx.Response(200, json=page)

    return httpx.MockTransport(answer)


async def test_the_gateway_is_compared_for_every_tenant_and_the_first_difference_is_said(bus):
    jobs = [await ended_job(bus) for _ in range(3)]
    right = [{"id": job_id, "status": "succeeded"} for job_id in jobs]
    asked = []

    def says(told: list[dict]):
        def ask(tenant: str) -> Modelmill:
            asked.append(tenant)
            return Modelmill("http://gateway", "token", transport=gateway_with(told))

        return ask

    equal = await compare_gateway(bus, says(right))
    assert [(each.name, each.count, each.difference) for each in equal] == [
        ("jobs", 3, ""),
        *((name, 0, "") for name in ("models", "datasets", "files", "aliases")),
    ]
    assert {*asked} == {"acme"}
    assert "does not know it" in (await compare_gateway(bus, says(right[1:])))[0].difference
    wrong = [{**right[0], "status": "running"}, *right[1:]]
    said = (await compare_gateway(bus, says(wrong)))[0].difference
    assert "running, the streams say succeeded" in said
