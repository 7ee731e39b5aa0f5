"""A full disk, of the broker's or of a worker's, is told as what it is."""

import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import modelmill_bus.bus
import pytest
from chain_job import chain
from chain_worker import ChainHandler
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_SUCCEEDED,
    JobRequested,
    JobState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.errors import BrokerDiskFullError
from modelmill_bus.subjects import job_requested
from modelmill_jobs.errors import job_error, retry_delay
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.waiting import eventually, is_once_done


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """To this process no file may grow: the kernel answers EFBIG, and no mount is needed."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.own_broker
async def test_a_broker_that_is_there_and_cannot_write_is_said_to_have_no_space(
    broker, jobs, bus, monkeypatch
):
    # On a busy machine the broker may need more than half a second to say that it is there.
    monkeypatch.setattr(modelmill_bus.bus, "LOOK_SECONDS", 20)
    before = await jobs.submit()
    with full_disk(broker.pid):
        for requested in (jobs.submit, lambda: jobs.pause(before.job_id)):

            async def refused(requested: Callable[[], Awaitable[object]] = requested) -> None:
                with pytest.raises(BrokerDiskFullError, match=r"full\. Free space") as refusal:
                    await requested()
                assert refusal.value.reason == "BROKER_DISK_FULL"
                assert refusal.value.retry_after_seconds >= 10

            assert await is_once_done(refused, within=4)
    broker.kill()
    await broker.start()
    await eventually(lambda: bus.connected)
    await jobs.submit()
    assert await bus.last(job_requested("train", "acme", before.job_id), JobRequested)


@pytest.mark.own_broker
async def test_a_broker_that_is_silent_or_away_is_not_said_to_have_no_space(broker, jobs):
    for silence in (broker.pause, broker.kill):
        silence()
        with pytest.raises(UnavailableError) as refused:
            await jobs.submit()
        assert refused.value.reason == "UNAVAILABLE"


async def test_a_broker_without_room_for_the_streams_says_so_at_the_start(tmp_path: Path):
    async with run_nats(tmp_path / "nats", max_store_bytes=1 << 20) as server:
        with pytest.raises(BrokerDiskFullError, match="make stream"):
            async with Bus.connect(server.url, server.token, name="tester"):
                pass


async def test_a_job_whose_child_finds_no_space_says_so_and_can_be_resumed(working, jobs, store):
    handler = ChainHandler(store, full_at=3)
    async with working(handler):
        job = await jobs.submit(steps=5)
        failed = await jobs.until(job.job_id, JOB_STATUS_FAILED)
        assert failed.error.code == "DISK_FULL"
        assert "disk full on" in failed.error.message
        assert "can be resumed" in failed.error.remedy
        handler._changes["full_at"] = -1
        await jobs.resume(job.job_id)
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
    assert state.result.digest == chain(job.job_id, 5)


def test_a_job_that_waits_for_space_is_not_tried_again_at_once():
    error = job_error(BrokerDiskFullError("publish x"))
    state = JobState(attempt=3, error=error)
    assert retry_delay(state, 2.0) == 6.0
