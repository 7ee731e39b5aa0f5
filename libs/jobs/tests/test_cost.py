"""What a job took so far, over all its claims."""

import asyncio
from datetime import datetime, timedelta

from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    Checkpoint,
    JobProgress,
    JobState,
)
from modelmill_bus.subjects import job_progress, job_state
from modelmill_job_index.index import JobIndex
from modelmill_job_index.snapshots import Snapshots
from modelmill_testkit.waiting import eventually

NOON = datetime(2026, 11, 25, 12)


async def say(bus, job_id: str, seconds: float, **fields: object) -> int:
    """A state written so many seconds after noon."""
    state = JobState(job_id=job_id, kind="train", tenant="acme", **fields)
    state.updated_at.FromDatetime(NOON + timedelta(seconds=seconds))
    return await bus.publish(job_state(job_id), state)


def took(job_index: JobIndex, job_id: str) -> float:
    return job_index.get("acme", job_id).work_seconds


async def three_claims(bus, job_id: str) -> int:
    """Ten seconds until it was given back, five until it was lost, three of one that is in work."""
    await say(bus, job_id, 0, status=JOB_STATUS_RUNNING, attempt=1)
    await say(bus, job_id, 10, status=JOB_STATUS_QUEUED, attempt=1)
    fence = await say(bus, job_id, 100, status=JOB_STATUS_RUNNING, attempt=2)
    kept = Checkpoint(digest="sha256:1", step=1)
    await say(bus, job_id, 105, status=JOB_STATUS_RUNNING, attempt=2, fence=fence, checkpoint=kept)
    fence = await say(bus, job_id, 1000, status=JOB_STATUS_RUNNING, attempt=3)
    report = JobProgress(job_id=job_id, fence=fence, phase="train", done=1)
    report.at.FromDatetime(NOON + timedelta(seconds=1003))
    await bus.publish(job_progress(job_id), report)
    return fence


async def test_seconds_of_all_claims_are_added_and_waiting_costs_nothing(bus, jobs, job_index):
    job = await jobs.submit()
    fence = await three_claims(bus, job.job_id)

    await job_index.wait_for(fence, timeout=60)
    await eventually(lambda: took(job_index, job.job_id) == 10 + 5 + 3)
    await say(bus, job.job_id, 1020, status=JOB_STATUS_SUCCEEDED, attempt=3, fence=fence)
    await eventually(lambda: took(job_index, job.job_id) == 10 + 5 + 20)


async def test_what_a_job_took_survives_a_restart_from_a_snapshot(bus, jobs, job_index):
    job = await jobs.submit()
    fence = await three_claims(bus, job.job_id)
    last = await say(bus, job.job_id, 1020, status=JOB_STATUS_SUCCEEDED, attempt=3, fence=fence)
    await job_index.wait_for(last, timeout=20)
    await Snapshots(bus).save(job_index.book, last)

    again = JobIndex(bus, Snapshots(bus))
    running = asyncio.create_task(again.run())
    try:
        await asyncio.wait_for(again.ready.wait(), 60)
        assert took(again, job.job_id) == took(job_index, job.job_id) == 35
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
