"""A success is kept back from readers until what the job made can be found."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobResult,
    JobState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY, job_state
from modelmill_job_index.index import JobIndex, JobWatcher
from modelmill_job_index.snapshots import Snapshots

WITHIN_SECONDS = 20


class Announcements:
    """What jobs made, as a test says it."""

    def __init__(self) -> None:
        self._said: dict[str, asyncio.Event] = {}

    def say(self, version_id: str) -> None:
        self._of(version_id).set()

    def has(self, result: JobResult) -> bool:
        return self._of(result.version_id).is_set()

    async def until(self, result: JobResult) -> None:
        await self._of(result.version_id).wait()

    def _of(self, version_id: str) -> asyncio.Event:
        return self._said.setdefault(version_id, asyncio.Event())


@asynccontextmanager
async def following(
    bus: Bus, said: Announcements, snapshots: Snapshots | None = None
) -> AsyncIterator[JobIndex]:
    job_index = JobIndex(bus, snapshots, announcements=said)
    running = asyncio.create_task(job_index.run())
    try:
        await asyncio.wait_for(job_index.ready.wait(), WITHIN_SECONDS)
        yield job_index
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def succeeds(bus: Bus, job_id: str, *, makes: str) -> int:
    """The sequence of its success."""
    state = JobState(job_id=job_id, kind="train", tenant="acme", status=JOB_STATUS_RUNNING)
    state.updated_at.GetCurrentTime()
    await bus.publish(job_state(job_id), state)
    state.status = JOB_STATUS_SUCCEEDED
    if makes:
        state.result.CopyFrom(JobResult(version_id=makes, announce_subject=MODEL_READY))
    return await bus.publish(job_state(job_id), state)


def status(job_index: JobIndex, job_id: str) -> int:
    return int(job_index.get("acme", job_id).state.status)


async def until_status(bus: Bus, job_index: JobIndex, job_id: str) -> list[int]:
    """Statuses that somebody hears of who watches it to its end."""
    async with (
        asyncio.timeout(WITHIN_SECONDS),
        aclosing(JobWatcher(bus, job_index).watch("acme", job_id, None)) as events,
    ):
        return [int(event.body.status) async for event in events]


async def test_only_the_job_that_is_not_announced_waits(bus: Bus, jobs) -> None:
    said = Announcements()
    first, second, third = [(await jobs.submit()).job_id for _ in range(3)]
    async with following(bus, said) as job_index:
        said.say("mv-2")
        await succeeds(bus, first, makes="mv-1")
        await succeeds(bus, second, makes="mv-2")
        last = await succeeds(bus, third, makes="")
        await job_index.wait_for(last, WITHIN_SECONDS)
        seen = [status(job_index, job_id) for job_id in (first, second, third)]
        watching = asyncio.create_task(until_status(bus, job_index, first))
        said.say("mv-1")
        heard = await watching

        assert seen == [JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED, JOB_STATUS_SUCCEEDED]
        assert heard == [JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED]
        assert status(job_index, first) == JOB_STATUS_SUCCEEDED


async def test_a_success_that_is_kept_back_is_not_lost_to_a_snapshot(bus: Bus, jobs) -> None:
    said = Announcements()
    kept, other = [(await jobs.submit()).job_id for _ in range(2)]
    snapshots = Snapshots(bus, every_messages=1, every_seconds=0.1)
    async with following(bus, said, snapshots) as job_index:
        await succeeds(bus, kept, makes="mv-1")
        last = await succeeds(bus, other, makes="")
        await job_index.wait_for(last, WITHIN_SECONDS)
        content = await snapshots.newest()
        assert content is None or content.last_sequence < last - 2

    said.say("mv-1")
    async with following(bus, said, Snapshots(bus)) as again:
        assert status(again, kept) == JOB_STATUS_SUCCEEDED
