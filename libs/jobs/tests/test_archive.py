"""All streams in a file, and the same streams again in another broker."""

import gzip
import json

import pytest
import pytest_asyncio
from modelmill.gateway.v1.gateway_events_pb2 import WebhookDue
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED, JobState
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.archive import DURABLE, export_streams, import_streams
from modelmill_bus.bus import Bus, StaleWriteError
from modelmill_bus.subjects import MODEL_READY, job_state, webhook_due
from modelmill_service_kit.errors import InvalidInputError, PreconditionError
from modelmill_testkit.shared_nats import shared_nats


def nothing(_done: int, _total: int) -> None:
    """Nobody looks at the progress."""


@pytest_asyncio.fixture
async def other():
    """A bus of a broker in which nothing was written."""
    async with (
        shared_nats() as server,
        Bus.connect(server.url, server.token, name="tester") as bus,
    ):
        yield bus


async def stored(bus: Bus) -> dict[str, list[tuple]]:
    """Everything that the durable streams hold, each message with its place."""
    return {
        stream.name: [
            (each.sequence, each.subject, each.body, dict(each.headers))
            async for each in bus.replay([*stream.subjects])
        ]
        for stream in DURABLE
    }


async def a_past(bus: Bus, jobs) -> str:
    job = await jobs.submit("key-1")
    running = JobState(job_id=job.job_id, status=JOB_STATUS_RUNNING)
    fence = await bus.publish(job_state(job.job_id), running, expect_last=0)
    ended = JobState(job_id=job.job_id, status=JOB_STATUS_SUCCEEDED, fence=fence)
    await bus.publish(job_state(job.job_id), ended, expect_last=fence)
    await bus.publish(MODEL_READY, ModelReady(version_id="mv-1"), msg_id="mv-1")
    return job.job_id


async def test_an_imported_broker_holds_the_same_messages_at_the_same_places(
    bus, jobs, other, tmp_path
):
    job_id = await a_past(bus, jobs)
    seen = []
    file = tmp_path / "state.gz"
    assert await export_streams(bus._link, file, lambda *done: seen.append(done)) == 4
    assert await import_streams(other._link, file, nothing) == 4

    assert await stored(other) == await stored(bus)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    last = await other.last(job_state(job_id), JobState)
    with pytest.raises(StaleWriteError):
        await other.publish(job_state(job_id), last.body, expect_last=last.body.fence)
    assert await other.publish(job_state(job_id), last.body, expect_last=last.sequence) == 4
    before = (await bus._link.js.stream_info("MODELS")).config
    assert (await other._link.js.stream_info("MODELS")).config == before


async def test_what_waits_to_be_delivered_is_not_exported(bus, jobs, other, tmp_path):
    await a_past(bus, jobs)
    await bus.publish(webhook_due("wh-1"), WebhookDue(webhook_id="wh-1"))
    file = tmp_path / "state.gz"

    assert await export_streams(bus._link, file, nothing) == 4
    assert await import_streams(other._link, file, nothing) == 4
    assert await other.last_sequence("WEBHOOKS") == 0


async def test_places_that_were_empty_stay_empty_and_an_id_may_come_twice(
    bus, jobs, other, tmp_path
):
    await a_past(bus, jobs)
    models = bus._link.js
    config = (await models.stream_info("MODELS")).config
    await models.update_stream(config.evolve(duplicate_window=0.1))
    for version in ("mv-2", "mv-3"):
        await bus.publish(MODEL_READY, ModelReady(version_id=version))
    again = ModelReady(version_id="mv-1", name="again")
    headers = {"Nats-Msg-Id": "mv-1"}
    await models.purge_stream("JOBS", seq=2)
    sequence = 0
    while sequence != 4:  # until the broker has forgotten the first
        sequence = (await models.publish(MODEL_READY, b"{}", headers=headers)).seq
        assert again
    file = tmp_path / "state.gz"
    await export_streams(bus._link, file, nothing)
    await import_streams(other._link, file, nothing)

    assert await stored(other) == await stored(bus)
    assert (await other.facts("JOBS")).first_sequence == 2


async def test_a_broker_that_holds_something_takes_no_import(bus, jobs, tmp_path):
    await a_past(bus, jobs)
    file = tmp_path / "state.gz"
    await export_streams(bus._link, file, nothing)
    before = await stored(bus)
    with pytest.raises(PreconditionError, match="JOBS is at message 3 already"):
        await import_streams(bus._link, file, nothing)
    assert await stored(bus) == before


@pytest.mark.parametrize("wrong", ["cut", "changed", "line lost", "text", "other json"])
async def test_a_damaged_file_is_refused_before_anything_is_written(
    bus, jobs, other, tmp_path, wrong
):
    await a_past(bus, jobs)
    file = tmp_path / "state.gz"
    await export_streams(bus._link, file, nothing)
    whole = file.read_bytes()
    lines = gzip.decompress(whole).splitlines(keepends=True)
    damaged = {
        "cut": whole[:-20],
        "changed": gzip.compress(b"".join(lines).replace(b"key", b"kex").replace(b"mv-1", b"mv-2")),
        "line lost": gzip.compress(b"".join([*lines[:2], *lines[3:]])),
        "text": b"no gzip at all",
        "other json": gzip.compress(json.dumps({"a": 1}).encode()),
    }
    file.write_bytes(damaged[wrong])
    with pytest.raises(InvalidInputError):
        await import_streams(other._link, file, nothing)
    assert all(each == [] for each in (await stored(other)).values())
