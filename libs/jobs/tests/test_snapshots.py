"""A restart goes on from a snapshot, and from nothing that is not one of this very stream."""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

import pytest
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobProgress,
    JobState,
)
from modelmill.jobs.v1.snapshot_pb2 import SnapshotPart, SnapshotState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_progress, job_state, snapshot_part, snapshot_state
from modelmill_job_index.book import VERSION, pack, unpack
from modelmill_job_index.index import JobIndex, JobWatcher
from modelmill_job_index.snapshots import MODEL, Snapshots
from modelmill_testkit.waiting import eventually

WITHIN_SECONDS = 20


@asynccontextmanager
async def following(bus: Bus, snapshots: Snapshots | None = None) -> AsyncIterator[JobIndex]:
    """A ledger as a process has it that has just started."""
    job_index = JobIndex(bus, snapshots)
    running = asyncio.create_task(job_index.run())
    try:
        await asyncio.wait_for(job_index.ready.wait(), WITHIN_SECONDS)
        yield job_index
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Counting:
    """A bus that says behind which message of JOBS somebody read on."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.after: list[int] = []

    def __getattr__(self, name: str):
        return getattr(self._bus, name)

    def follow(self, subjects, kinds=None, *, after=0, on_current=None):
        if subjects[0].startswith("job.requested"):
            self.after.append(after)
        return self._bus.follow(subjects, kinds, after=after, on_current=on_current)


async def write(bus: Bus, job_id: str, *statuses: int) -> int:
    """States of a job as a worker writes them; the last one's sequence."""
    sequence = 0
    for attempt, status in enumerate(statuses, 1):
        state = JobState(job_id=job_id, kind="train", tenant="acme", status=status, attempt=attempt)
        state.updated_at.GetCurrentTime()
        sequence = await bus.publish(job_state(job_id), state)
    return sequence


async def events_of(bus: Bus, job_index: JobIndex, job_id: str, after: str | None = None):
    watching = JobWatcher(bus, job_index).watch("acme", job_id, after)
    async with asyncio.timeout(WITHIN_SECONDS), aclosing(watching) as events:
        return [event async for event in events]


async def a_past(bus: Bus, jobs) -> list[str]:
    """One job that ended, one that failed and was resumed, one that was only asked for."""
    ended, resumed, asked = [(await jobs.submit()).job_id for _ in range(3)]
    await write(bus, ended, JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED)
    await write(bus, resumed, JOB_STATUS_RUNNING, JOB_STATUS_FAILED)
    await jobs.resume(resumed)
    return [ended, resumed, asked]


async def saved(bus: Bus) -> int:
    """A snapshot of all that is there now; the sequence that it goes up to."""
    async with following(bus) as job_index:
        await Snapshots(bus).save(job_index.book, job_index.sequence)
        return job_index.sequence


async def test_a_ledger_from_a_snapshot_and_what_came_since_equals_one_that_read_everything(
    bus, jobs
):
    past = await a_past(bus, jobs)
    last = await saved(bus)
    await write(bus, past[2], JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED)
    await jobs.submit()
    counting = Counting(bus)
    async with following(counting, Snapshots(bus)) as restored, following(bus) as replayed:
        assert counting.after == [last]
        assert [*restored.list("acme")] == [*replayed.list("acme")]
        assert len(restored.list("acme")) == 4
        assert [*restored.standings()] == [*replayed.standings()]
        assert [each async for each in restored.book.packed()] == [
            each async for each in replayed.book.packed()
        ]


async def test_whoever_watches_across_a_restart_from_a_snapshot_hears_each_event_once(bus, jobs):
    ended, resumed, _ = await a_past(bus, jobs)
    async with following(bus) as before:
        whole = await events_of(bus, before, ended)
        begun = before.history("acme", resumed).events()
    await saved(bus)
    async with following(bus, Snapshots(bus)) as after:
        assert await events_of(bus, after, ended) == whole
        assert await events_of(bus, after, ended, whole[0].id) == whole[1:]
        watching = asyncio.create_task(events_of(bus, after, resumed, begun[0].id))
        await write(bus, resumed, JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED)
        heard = await watching

    assert [event.message for event in begun] == ["running, attempt 1", "failed: ", "queued again"]
    assert [event.message for event in heard] == [
        "failed: ",
        "queued again",
        "running, attempt 1",
        "succeeded",
    ]


async def test_a_watcher_of_a_job_that_was_packed_meanwhile_hears_what_comes(bus, jobs):
    job = await jobs.submit()
    failed = await write(bus, job.job_id, JOB_STATUS_RUNNING, JOB_STATUS_FAILED)
    async with following(bus) as job_index:
        await job_index.wait_for(failed, timeout=20)
        watching = JobWatcher(bus, job_index).watch("acme", job.job_id, None)
        first = await anext(watching)
        assert [each async for each in job_index.book.packed()]
        await job_index.wait_for(await jobs.resume(job.job_id), timeout=20)
        rest = asyncio.create_task(_rest(watching))
        await write(bus, job.job_id, JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED)
        heard = [first, *await asyncio.wait_for(rest, WITHIN_SECONDS)]

    assert [event.message for event in heard] == [
        "running, attempt 1",
        "failed: ",
        "queued again",
        "running, attempt 1",
        "succeeded",
    ]


async def _rest(events) -> list:
    return [event async for event in events]


async def test_figures_are_told_after_a_restart_from_a_snapshot_too(bus, jobs):
    job = await jobs.submit()
    figures = JobProgress(job_id=job.job_id, fence=1, done=3, metrics={"loss": 1.0})
    await write(bus, job.job_id, JOB_STATUS_RUNNING)
    await bus.publish(job_progress(job.job_id), figures)
    await write(bus, job.job_id, JOB_STATUS_SUCCEEDED)
    await saved(bus)
    async with following(bus, Snapshots(bus)) as job_index:
        heard = await events_of(bus, job_index, job.job_id)

    assert [event.type for event in heard].count("progress") == 1


async def test_a_snapshot_is_written_when_enough_was_read_and_not_again_for_nothing(bus, jobs):
    async with following(bus, Snapshots(bus, every_messages=5)) as job_index:
        for _ in range(3):
            await jobs.submit()
        assert await bus.last(snapshot_state(MODEL), SnapshotState) is None
        last = [await jobs.submit() for _ in range(2)][-1]

        async def written() -> SnapshotState | None:
            stored = await bus.last(snapshot_state(MODEL), SnapshotState)
            return stored.body if stored else None

        state = await eventually(written)
        assert (state.last_sequence, state.records) == (last.sequence, 5)
        before = await bus.last_sequence("SNAPSHOTS")
        await Snapshots(bus).save(job_index.book, last.sequence)
        assert await bus.last_sequence("SNAPSHOTS") == before


async def test_a_snapshot_is_written_after_a_time_with_few_messages_and_the_index_goes_on(
    bus, jobs
):
    job_index = JobIndex(bus, Snapshots(bus, every_seconds=0.05))
    running = asyncio.create_task(job_index.run())
    await asyncio.wait_for(job_index.ready.wait(), WITHIN_SECONDS)

    async def is_written(sequence: int) -> bool:
        stored = await bus.last(snapshot_state(MODEL), SnapshotState)
        return running.done() or bool(stored and stored.body.last_sequence >= sequence)

    for _ in range(2):
        job = await jobs.submit()
        await eventually(partial(is_written, job.sequence))
        assert not running.done(), running.exception()
    running.cancel()


Damage = Callable[[SnapshotState], None]


async def damage(bus: Bus, change: Damage) -> None:
    """The same parts, named in another way."""
    stored = await bus.last(snapshot_state(MODEL), SnapshotState)
    assert stored is not None
    change(stored.body)
    await bus.publish(snapshot_state(MODEL), stored.body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", VERSION + 1),
        ("first_sequence", 2),
        ("last_sequence", 99),
        ("last_body_sha256", hashlib.sha256(b"of another stream").hexdigest()),
        ("records", 7),
        ("parts", 2),
        ("content_sha256", "0" * 64),
        ("snapshot_id", "none"),
    ],
)
async def test_a_snapshot_that_does_not_fit_is_ignored_and_everything_is_read(
    bus, jobs, field, value
):
    past = await a_past(bus, jobs)
    await saved(bus)
    await damage(bus, lambda state: setattr(state, field, value))
    counting = Counting(bus)
    async with following(counting, Snapshots(bus)) as job_index:
        assert counting.after == [0]
        assert {record.requested.job_id for record in job_index.list("acme")} == {*past}


@pytest.mark.parametrize("content", [b"no zlib stream", zlib.compress(b"\0\0\0\3abc")])
async def test_a_snapshot_whose_content_is_no_job_is_ignored(bus, jobs, content):
    past = await a_past(bus, jobs)
    await saved(bus)
    await bus.publish(snapshot_part(MODEL, "other"), SnapshotPart(content=content))

    def change(state: SnapshotState) -> None:
        state.snapshot_id, state.parts, state.records = "other", 1, 1
        state.content_sha256 = hashlib.sha256(content).hexdigest()

    await damage(bus, change)
    async with following(bus, Snapshots(bus)) as job_index:
        assert {record.requested.job_id for record in job_index.list("acme")} == {*past}


async def test_a_job_is_the_same_after_packing(bus, jobs):
    for job_id in await a_past(bus, jobs):
        async with following(bus) as job_index:
            packed = pack(job_id, job_index.book.look(job_id))
            again = unpack(packed)
            assert again.record() == job_index.book.look(job_id).record()
            assert pack(job_id, again) == packed
