"""When a waiting job will start, as its owner is told: by what is in work, and never stale."""

import asyncio
from datetime import datetime, timedelta
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from modelmill.jobs.v1.job_pb2 import (
    JOB_PRIORITY_NORMAL,
    JOB_STATUS_RUNNING,
    JobProgress,
    JobState,
)
from modelmill_bus.subjects import job_progress, job_state
from modelmill_job_index.index import JobIndex
from modelmill_job_index.queue_order import QueueOrder
from modelmill_service_kit.errors import NotFoundError
from modelmill_testkit.waiting import eventually
from queues import NOON, Seen, queue_of, waiting_jobs


def test_a_start_is_estimated_from_what_the_last_jobs_took_and_the_workers_in_work():
    queue = queue_of(waiting_jobs([("a", JOB_PRIORITY_NORMAL)] * 3), {}, {})
    assert queue.turn("train", "job-1").starts_at is None
    for job_id, ago in (("x", 5), ("y", 15)):
        began = NOON - timedelta(seconds=ago)
        queue.see(job_id, Seen("b", status=JOB_STATUS_RUNNING, claimed_at=began))
    for seconds in (10, 300):
        queue.recall("train", seconds)
    assert queue.turn("train", "job-1").starts_at is None
    queue.recall("train", 20)

    turns = [queue.turn("train", f"job-{at}") for at in (1, 2, 3)]
    assert [turn.position for turn in turns] == [1, 2, 3]
    # x as long as the median of 10, 20, 300; y, which outlasts 10, of 20 and 300.
    assert [(turn.starts_at - NOON).total_seconds() for turn in turns] == [15, 145, 35]


def test_a_start_follows_what_the_job_in_work_says_of_its_end():
    now = [NOON]
    queue = QueueOrder(now=lambda: now[0])
    for job in waiting_jobs([("a", JOB_PRIORITY_NORMAL)] * 2):
        queue.see(job.job_id, Seen("a", job))
    ends = NOON + timedelta(minutes=20)
    queue.see("x", Seen("b", status=JOB_STATUS_RUNNING, claimed_at=NOON, ends=ends))

    for passed in (0, 6, 19):
        now[0] = NOON + timedelta(minutes=passed)
        assert queue.turn("train", "job-1").starts_at == ends
        assert queue.turn("train", "job-2").starts_at is None, "what a job takes is not known yet"
    for seconds in (10, 20, 30):
        queue.recall("train", seconds)
    assert queue.turn("train", "job-2").starts_at == ends + timedelta(seconds=20)


def test_a_job_that_comes_now_starts_behind_all_that_wait():
    queue = queue_of(waiting_jobs([("a", JOB_PRIORITY_NORMAL)]), {}, {})
    assert queue.next_start("train") is None, "nobody works"
    ends = NOON + timedelta(minutes=20)
    queue.see("x", Seen("b", status=JOB_STATUS_RUNNING, claimed_at=NOON, ends=ends))
    assert queue.next_start("train") is None, "what a job takes is not known yet"
    for seconds in (10, 20, 30):
        queue.recall("train", seconds)

    assert queue.turn("train", "job-1").starts_at == ends
    assert queue.next_start("train") == ends + timedelta(seconds=20)
    assert queue.next_start("batch") is None


SECONDS = st.integers(0, 10_000)


@given(st.lists(SECONDS, max_size=25), st.lists(SECONDS, min_size=1, max_size=4), SECONDS)
def test_no_start_is_told_that_is_over_however_long_the_job_in_work_goes_on(took, ago, later):
    queue = QueueOrder(now=lambda: NOON + timedelta(seconds=later))
    for job in waiting_jobs([("a", JOB_PRIORITY_NORMAL)] * 3):
        queue.see(job.job_id, Seen("a", job))
    for seconds in took:
        queue.recall("train", seconds)
    for at, seconds in enumerate(ago):
        began = NOON - timedelta(seconds=seconds)
        queue.see(f"x{at}", Seen("b", status=JOB_STATUS_RUNNING, claimed_at=began))

    starts = [queue.turn("train", f"job-{at}").starts_at for at in (1, 2, 3)]
    assert all(start is None or start > NOON + timedelta(seconds=later) for start in starts)
    if later + min(ago) >= max(took, default=0):
        assert starts[0] is None, "nobody knows when it ends"


async def test_a_start_follows_the_figures_of_the_job_in_work_also_after_a_restart(
    bus, jobs, job_index
):
    running, waiting = await jobs.submit(), await jobs.submit()
    state = JobState(job_id=running.job_id, kind="train", tenant="acme", status=JOB_STATUS_RUNNING)
    state.updated_at.GetCurrentTime()
    fence = await bus.publish(job_state(running.job_id), state)
    for left in (900.0, 300.0):
        told = JobProgress(job_id=running.job_id, fence=fence, phase="train", eta_seconds=left)
        told.at.GetCurrentTime()
        await bus.publish(job_progress(running.job_id), told)
        again = JobIndex(bus)
        following = asyncio.create_task(again.run())
        for each in (job_index, again):
            ends = told.at.ToDatetime() + timedelta(seconds=left)
            await eventually(partial(_starts, each, waiting.job_id, ends))
        following.cancel()


def _starts(job_index: JobIndex, job_id: str, wanted: datetime) -> bool:
    try:
        start = job_index.get("acme", job_id).turn.starts_at
    except NotFoundError:
        return False
    return start is not None and abs((start - wanted).total_seconds()) < 1
