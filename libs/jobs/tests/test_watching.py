"""Watching a job: what was, then what comes, until it has ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from chain_worker import ChainHandler, InProcess
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobProgress,
    JobState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_progress, job_state
from modelmill_job_index.history import STATE
from modelmill_job_index.index import JobEvent, JobIndex, JobWatcher
from modelmill_jobs.errors import JobFailed
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_testkit.waiting import eventually

WITHIN_SECONDS = 20


@pytest.fixture
def watcher(bus: Bus, job_index: JobIndex) -> JobWatcher:
    return JobWatcher(bus, job_index)


async def everything(events: AsyncIterator[JobEvent]) -> list[JobEvent]:
    async with asyncio.timeout(WITHIN_SECONDS), aclosing(events):  # type: ignore[type-var]
        return [event async for event in events]


async def first(events: AsyncIterator[JobEvent], count: int) -> list[JobEvent]:
    taken: list[JobEvent] = []
    async with asyncio.timeout(WITHIN_SECONDS), aclosing(events):  # type: ignore[type-var]
        async for event in events:
            taken.append(event)
            if len(taken) == count:
                break
    return taken


def names(events: list[JobEvent]) -> list[tuple[str, int]]:
    return [(event.type, event.sequence) for event in events]


async def test_any_number_of_watchers_hear_all_of_a_job_as_it_happens_and_afterwards(
    watcher, jobs, working, store, bus, job_index
):
    job = await jobs.submit(steps=60, step_seconds=0.01)
    live = [asyncio.create_task(everything(watcher.watch("acme", job.job_id, None))) for _ in "abc"]
    async with working(ChainHandler(store)):
        heard = await asyncio.gather(*live)
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
    late = await everything(watcher.watch("acme", job.job_id, ""))

    assert heard[0][0].message == "running, attempt 1"
    assert heard[0][-1].message == "succeeded"
    assert heard[0][-2].message.startswith("chain step 60/60"), "the last figures come before"
    for each in (*heard, late):
        assert sorted(names(each)) == sorted(names(heard[0]))
        assert len({event.id for event in each}) == len(each)
    assert sorted(names(late)) == sorted(names(list(job_index.get("acme", job.job_id).events)))
    for event in late:
        rest = await everything(watcher.watch("acme", job.job_id, event.id))
        assert names(rest) == names(late)[late.index(event) + 1 :]


async def test_a_watcher_goes_on_at_another_replica_and_after_a_restart(
    watcher, jobs, working, store, bus
):
    job = await jobs.submit(steps=60, step_seconds=0.01)
    async with working(ChainHandler(store)):
        begun = await first(watcher.watch("acme", job.job_id, None), 4)
        other = JobIndex(bus)
        following = asyncio.create_task(other.run())
        rest = await everything(JobWatcher(bus, other).watch("acme", job.job_id, begun[-1].id))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    whole = await everything(watcher.watch("acme", job.job_id, None))

    assert sorted(names(begun + rest)) == sorted(names(whole))


async def test_a_job_that_was_resumed_has_not_ended(watcher, jobs, working, job_index):
    handler = InProcess(JobFailed("NO", "not today"))
    handler.go.set()
    async with working(handler):
        job = await jobs.submit()
        failing = await everything(watcher.watch("acme", job.job_id, None))
        await jobs.until(job.job_id, JOB_STATUS_FAILED)
        await eventually(jobs.all_acknowledged)
    await job_index.wait_for(await jobs.resume(job.job_id), timeout=20)
    again = asyncio.create_task(everything(watcher.watch("acme", job.job_id, failing[-1].id)))
    handler.failure = None
    async with working(handler):
        resumed = await again

    assert [event.message for event in failing if event.type == STATE] == [
        "running, attempt 1",
        "failed: not today",
    ]
    assert [event.message for event in resumed if event.type == STATE] == [
        "queued again",
        "running, attempt 2",
        "succeeded",
    ]


async def test_a_watcher_of_a_job_that_is_cancelled_by_a_late_desired_state_hears_its_end(
    watcher, jobs, job_index
):
    job = await jobs.submit()
    failed = JobState(job_id=job.job_id, kind="train", status=JOB_STATUS_FAILED)
    await jobs.bus.publish(job_state(job.job_id), failed)
    sequence = await jobs.resume(job.job_id)
    await job_index.wait_for(sequence, timeout=20)
    watching = asyncio.create_task(everything(watcher.watch("acme", job.job_id, None)))
    assert not (await asyncio.wait({watching}, timeout=0.2))[0]
    await jobs.cancel(job.job_id)

    heard = await watching
    assert [event.message for event in heard] == ["failed: ", "queued again", "cancelled"]
    assert heard[-1].body.status == JOB_STATUS_CANCELLED


async def test_jobs_and_events_that_are_unknown_are_refused_those_of_others_too(watcher, jobs):
    job = await jobs.submit()
    for tenant, job_id in (("rival", job.job_id), ("acme", "ftjob-none")):
        with pytest.raises(NotFoundError):
            await everything(watcher.watch(tenant, job_id, None))
    for after in ("nonsense", "state-1", "state-77", "progress-1"):
        with pytest.raises(InvalidInputError, match="after: no event"):
            await everything(watcher.watch("acme", job.job_id, after))


async def test_a_slow_watcher_goes_on_with_the_oldest_figures_kept(watcher, jobs, bus, job_index):
    job = await jobs.submit()
    state = JobState(job_id=job.job_id, status=JOB_STATUS_RUNNING, attempt=1, fence=1)
    await bus.publish(job_state(job.job_id), state)
    slow = watcher.watch("acme", job.job_id, None)
    assert (await anext(slow)).type == "state"
    subject = job_progress(job.job_id)
    for begin in range(0, 1050, 50):
        reports = [
            JobProgress(job_id=job.job_id, fence=1, done=n, metrics={"loss": 1.0})
            for n in range(begin, begin + 50)
        ]
        await asyncio.gather(*(bus.publish(subject, report) for report in reports))
    state.status = JOB_STATUS_SUCCEEDED
    state_sequence = await bus.publish(job_state(job.job_id), state)
    await job_index.wait_for_progress(1050, timeout=60)
    heard = await everything(slow)

    assert names(heard)[0] == ("progress", 51)
    assert names(heard)[-1][0] == "state"
    assert len(heard) == 1001
    # One that has only just started reads states sooner than figures.
    fresh = JobIndex(bus)
    following = asyncio.create_task(fresh.run())
    heard = await everything(JobWatcher(bus, fresh).watch("acme", job.job_id, None))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert names(heard)[-2:] == [("progress", 1050), ("state", state_sequence)]


async def test_a_thousand_watchers_of_a_job_cost_the_broker_not_one_consumer_more(
    watcher, jobs, bus, job_index
):
    job = await jobs.submit()
    running = JobState(job_id=job.job_id, kind="train", tenant="acme", status=JOB_STATUS_RUNNING)
    await job_index.wait_for(await bus.publish(job_state(job.job_id), running), timeout=20)
    # The index begins with both streams, each at its own pace.
    before = await eventually(lambda: _both_are_followed(bus))
    watches = [watcher.watch("acme", job.job_id, None) for _ in range(1000)]
    waiting = [asyncio.create_task(everything(events)) for events in watches]
    report = JobProgress(job_id=job.job_id, done=1, metrics={"loss": 1.0})
    await bus.publish(job_progress(job.job_id), report)
    await job_index.wait_for_progress(1, timeout=60)
    during = await _consumers(bus)
    running.status = JOB_STATUS_SUCCEEDED
    await bus.publish(job_state(job.job_id), running)
    heard = await asyncio.gather(*waiting)

    assert before == during == {"JOBS": 1, "PROGRESS": 1}
    assert {tuple(event.type for event in each) for each in heard} == {
        ("state", "progress", "state")
    }


async def _both_are_followed(bus: Bus) -> dict[str, int] | None:
    consumers = await _consumers(bus)
    return consumers if all(consumers.values()) else None


async def _consumers(bus: Bus) -> dict[str, int]:
    """How many there are of each stream that tells of jobs."""
    streams = [await bus._link.js.stream_info(stream) for stream in ("JOBS", "PROGRESS")]
    return {stream.config.name: stream.state.consumer_count for stream in streams}
