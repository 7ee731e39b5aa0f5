"""When a job's turn comes, as it is told to its owner."""

import asyncio
from collections import Counter
from types import SimpleNamespace

import modelmill_job_index.queue_order
import pytest
from chain_worker import InProcess, result_of
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from modelmill.jobs.v1.job_pb2 import (
    JOB_PRIORITY_HIGH,
    JOB_PRIORITY_LOW,
    JOB_PRIORITY_NORMAL,
    JOB_STATUS_SUCCEEDED,
    JobPriority,
)
from modelmill_job_index.index import JobIndex
from modelmill_job_index.queue_order import QueueOrder
from modelmill_job_index.snapshots import Snapshots
from modelmill_jobs.submit import JobQueue
from modelmill_jobs.waiting import WaitingJob, fair_order
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.waiting import eventually
from queues import NOON, Seen, queue_of, waiting_jobs

TENANTS = st.sampled_from(["a", "b", "c", "d"])
PRIORITIES = st.sampled_from([JOB_PRIORITY_LOW, JOB_PRIORITY_NORMAL, JOB_PRIORITY_HIGH])
ASKED = st.lists(st.tuples(TENANTS, PRIORITIES), max_size=30)


@given(
    ASKED,
    st.dictionaries(TENANTS, st.integers(0, 3)),
    st.dictionaries(TENANTS, st.integers(1, 99)),
)
def test_the_order_that_is_shown_is_the_one_in_which_jobs_start(asked, running, served):
    waiting = waiting_jobs(asked)
    queue = queue_of(waiting, running, served)
    shown = sorted(waiting, key=lambda job: queue.turn("train", job.job_id).position)

    started, clock = [], max(served.values(), default=0)
    while waiting:
        # As a worker does: it looks anew each time, and a job has ended before the next begins.
        job = next(fair_order(waiting, running, served))
        clock += 1
        served = {**served, job.tenant: clock}
        waiting.remove(job)
        started.append(job)
    assert shown == started


@given(ASKED, st.dictionaries(TENANTS, st.integers(0, 3)), st.dictionaries(TENANTS, st.integers()))
def test_a_priority_orders_a_tenants_own_jobs_and_moves_no_tenant(asked, running, served):
    plain = [(tenant, JOB_PRIORITY_NORMAL) for tenant, _ in asked]
    order = list(fair_order(waiting_jobs(asked), running, served))
    unmoved = list(fair_order(waiting_jobs(plain), running, served))

    assert [job.tenant for job in order] == [job.tenant for job in unmoved]
    for tenant in Counter(tenant for tenant, _ in asked):
        mine = [(-job.priority, job.sequence) for job in order if job.tenant == tenant]
        assert mine == sorted(mine)


def test_the_order_is_worked_out_once_however_many_look(monkeypatch):
    worked_out = []

    def counted(*given):
        worked_out.append(1)
        return fair_order(*given)

    monkeypatch.setattr(modelmill_job_index.queue_order, "fair_order", counted)
    queue = queue_of(waiting_jobs([("a", JOB_PRIORITY_NORMAL)] * 200), {}, {})
    assert [queue.turn("train", f"job-{at}").position for at in range(1, 201)] == list(
        range(1, 201)
    )
    assert len(worked_out) == 1

    queue.see("job-201", Seen("b", WaitingJob("job-201", "b", 201)))
    assert queue.turn("train", "job-201").position == 2
    assert len(worked_out) == 2


def test_a_long_queue_is_not_worked_out_again_at_every_change():
    clock = SimpleNamespace(now=0.0)

    def tick() -> float:
        clock.now += 0.5
        return clock.now

    queue = QueueOrder(clock=tick, now=lambda: NOON)
    queue.see("job-1", Seen("a", WaitingJob("job-1", "a", 1)))
    assert queue.turn("train", "job-1").position == 1
    queue.see("job-0", Seen("a", WaitingJob("job-0", "a", 0)))
    assert queue.turn("train", "job-0").position == 2, "a late one is shown at the end for a while"
    clock.now += 20
    assert queue.turn("train", "job-0").position == 1


class Recorded(InProcess):
    """Remembers which job began when; the first of all waits for `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    async def __call__(self, job):
        self.order.append(job.job_id)
        self.began.set()
        await self.go.wait()
        return result_of(job, {"value": job.job_id})


async def submit(bus, tenant: str, priority: "JobPriority.ValueType" = JOB_PRIORITY_NORMAL):
    job = await JobQueue(bus).submit(
        kind="train",
        prefix="ftjob",
        tenant=tenant,
        requested_by="tester",
        idempotency_key="",
        spec=Struct(),
        priority=priority,
    )
    return job


async def test_jobs_start_in_the_order_that_was_shown(bus, jobs, working, job_index):
    handler = Recorded()
    first = await submit(bus, "z")
    async with working(handler):
        await asyncio.wait_for(handler.began.wait(), 60)
        asked = [
            await submit(bus, tenant, priority)
            for tenant, priority in (
                ("a", JOB_PRIORITY_NORMAL),
                ("a", JOB_PRIORITY_LOW),
                ("a", JOB_PRIORITY_NORMAL),
                ("b", JOB_PRIORITY_LOW),
                ("a", JOB_PRIORITY_HIGH),
                ("b", JOB_PRIORITY_HIGH),
            )
        ]
        await job_index.wait_for(asked[-1].sequence, timeout=20)
        place = {
            job.job_id: job_index.get(tenant, job.job_id).turn.position
            for job, tenant in zip(asked, "aaabab", strict=True)
        }
        assert job_index.get("z", first.job_id).turn.position is None
        handler.go.set()
        for job in asked:
            await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert handler.order == [first.job_id, *sorted(place, key=lambda job_id: place[job_id])]
    assert handler.order[1] == asked[4].job_id, "a high one goes first among its tenant's"
    assert handler.order[-1] == asked[1].job_id


async def test_a_ledger_that_goes_on_from_a_snapshot_shows_the_same_turns(
    bus, jobs, working, job_index
):
    handler = Recorded()
    handler.go.set()
    async with working(handler):
        for tenant in "abc":
            ended = await submit(bus, tenant)
            await jobs.until(ended.job_id, JOB_STATUS_SUCCEEDED)
    asked = [await submit(bus, tenant) for tenant in "cab"]
    await job_index.wait_for(asked[-1].sequence, timeout=20)
    await Snapshots(bus).save(job_index.book, asked[-1].sequence)

    again = JobIndex(bus, Snapshots(bus))
    running = asyncio.create_task(again.run())
    try:
        await asyncio.wait_for(again.ready.wait(), 60)
        told = [
            [
                book.get(tenant, job.job_id).turn.position
                for job, tenant in zip(asked, "cab", strict=True)
            ]
            for book in (job_index, again)
        ]
        assert told == [[3, 1, 2]] * 2, "who was served longest ago is next"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_repeat_with_another_priority_is_the_first_job_with_the_first_ones(
    bus, jobs, job_index
):
    asked = {"kind": "train", "prefix": "ftjob", "tenant": "acme", "requested_by": "tester"}
    queue = JobQueue(bus)
    first = await queue.submit(
        **asked, idempotency_key="k", spec=Struct(), priority=JOB_PRIORITY_LOW
    )
    again = await queue.submit(
        **asked, idempotency_key="k", spec=Struct(), priority=JOB_PRIORITY_HIGH
    )
    await job_index.wait_for(first.sequence, timeout=20)

    assert (again.job_id, again.created) == (first.job_id, False)
    assert job_index.get("acme", first.job_id).requested.priority == JOB_PRIORITY_LOW
    with pytest.raises(InvalidInputError, match="priority"):
        await queue.submit(**asked, idempotency_key="", spec=Struct(), priority=9)


async def test_a_job_that_ran_and_was_resumed_goes_to_the_end_of_its_tenants(bus, jobs, job_index):
    first, second = await jobs.submit(), await jobs.submit()
    await jobs.pause(first.job_id)
    sequence = await jobs.resume(first.job_id)
    await job_index.wait_for(sequence, timeout=20)

    def position(job) -> int | None:
        return job_index.get("acme", job.job_id).turn.position

    await eventually(lambda: (position(second), position(first)) == (1, 2))
