"""The read model of jobs."""

import asyncio

import pytest
from chain_worker import ChainHandler
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_QUEUED,
    JOB_STATUS_SUCCEEDED,
    JobProgress,
)
from modelmill_bus.subjects import job_progress
from modelmill_service_kit.errors import NotFoundError, UnavailableError
from modelmill_testkit.waiting import eventually


async def test_a_writer_reads_its_own_write(job_index, jobs):
    job = await jobs.submit()
    await job_index.wait_for(job.sequence, timeout=20)
    record = job_index.get("acme", job.job_id)

    assert record.requested.spec["steps"] == 20
    assert (record.state.status, record.state.attempt) == (JOB_STATUS_QUEUED, 0)
    assert record.progress is None
    assert record.events == ()


async def test_what_is_not_there_yet_is_not_waited_for_for_ever(job_index):
    with pytest.raises(UnavailableError):
        await job_index.wait_for(1, timeout=0.1)


async def test_another_tenants_job_is_not_found(job_index, jobs):
    job = await jobs.submit()
    await job_index.wait_for(job.sequence, timeout=20)

    with pytest.raises(NotFoundError):
        job_index.get("other", job.job_id)
    with pytest.raises(NotFoundError):
        job_index.get("acme", "ftjob-none")
    assert [*job_index.list("other")] == []


async def test_the_list_is_newest_first_and_by_kind(job_index, jobs):
    submitted = [await jobs.submit() for _ in range(3)]
    await job_index.wait_for(submitted[-1].sequence, timeout=20)

    listed = [record.requested.job_id for record in job_index.list("acme", "train")]
    assert listed == [job.job_id for job in reversed(submitted)]
    assert [*job_index.list("acme", "dataset")] == []


async def test_events_join_states_and_figures_in_the_order_of_their_time(
    job_index, jobs, working, store
):
    async with working(ChainHandler(store)):
        job = await jobs.submit(steps=50, step_seconds=0.01)
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
    await job_index.wait_for(job.sequence, timeout=60)
    await eventually(lambda: _is_complete(job_index, job.job_id))
    events = job_index.get("acme", job.job_id).events

    assert events[0].message == "running, attempt 1"
    assert events[-1].message == "succeeded"
    assert any("saved at step 5" in event.message for event in events)
    assert any(event.message.startswith("chain step 50/50: step_metric=50") for event in events)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert len({event.id for event in events}) == len(events)


def _is_complete(job_index, job_id: str) -> bool:
    record = job_index.get("acme", job_id)
    done = record.progress.done if record.progress else 0
    return record.state.status == JOB_STATUS_SUCCEEDED and done == 50


async def test_a_zombies_progress_does_not_turn_back_the_clock(job_index, jobs, bus):
    job = await jobs.submit()
    subject = job_progress(job.job_id)
    # What is asked of the index about a job that it has not read yet is an error.
    await job_index.wait_for(job.sequence, timeout=60)
    for fence, done in ((5, 10), (9, 2), (5, 11)):
        await bus.publish(subject, JobProgress(job_id=job.job_id, fence=fence, done=done))
    await bus.publish(subject, JobProgress(job_id=job.job_id, fence=9, done=3, metrics={"m": 1}))
    await job_index.wait_for_progress(4, timeout=60)
    record = job_index.get("acme", job.job_id)

    assert (record.progress.fence, record.progress.done) == (9, 3)


async def test_a_report_without_figures_is_an_event_and_its_repetition_is_none(
    job_index, jobs, bus
):
    job = await jobs.submit()
    await job_index.wait_for(job.sequence, timeout=60)
    for done in (1, 1, 2, 2):
        report = JobProgress(job_id=job.job_id, fence=1, phase="read", unit="row", done=done)
        await bus.publish(job_progress(job.job_id), report)

    def told() -> list[str]:
        return [event.message for event in job_index.get("acme", job.job_id).events]

    await job_index.wait_for_progress(4, timeout=60)
    assert told() == ["read row 1", "read row 2"]


async def test_the_last_thousand_figures_are_kept(job_index, jobs, bus):
    job = await jobs.submit()
    await job_index.wait_for(job.sequence, timeout=60)
    subject = job_progress(job.job_id)
    for first in range(0, 1050, 50):
        reports = [
            JobProgress(job_id=job.job_id, fence=1, done=number, metrics={"loss": 1.0})
            for number in range(first, first + 50)
        ]
        await asyncio.gather(*(bus.publish(subject, report) for report in reports))
    await eventually(lambda: len(job_index.get("acme", job.job_id).events) == 1000)
    await eventually(lambda: job_index.get("acme", job.job_id).events[-1].sequence == 1050)
