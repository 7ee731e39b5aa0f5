"""Whose turn it is among tenants who want different amounts."""

import asyncio
from collections import Counter

import pytest
from chain_worker import InProcess, result_of
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill_jobs.submit import JobQueue
from modelmill_jobs.waiting import WaitingJob, fair_order
from modelmill_testkit.waiting import eventually

TENANTS = st.sampled_from(["a", "b", "c", "d"])


def jobs_of(tenants: list[str]) -> list[WaitingJob]:
    return [WaitingJob(f"job-{at}", tenant, at) for at, tenant in enumerate(tenants, 1)]


@given(st.lists(TENANTS), st.dictionaries(TENANTS, st.integers(0, 3)))
def test_every_job_has_its_turn_and_a_tenants_older_jobs_go_first(tenants, running):
    order = list(fair_order(jobs_of(tenants), running, {}))

    assert sorted(order, key=lambda job: job.sequence) == jobs_of(tenants)
    for tenant in set(tenants):
        sequences = [job.sequence for job in order if job.tenant == tenant]
        assert sequences == sorted(sequences)


@given(st.lists(TENANTS, min_size=1), st.dictionaries(TENANTS, st.integers(0, 99)))
def test_of_tenants_with_as_much_in_work_none_has_a_second_turn_before_all_had_one(tenants, served):
    turns = [job.tenant for job in fair_order(jobs_of(tenants), {}, served)]
    left = Counter(tenants)

    for at, tenant in enumerate(turns):
        had = Counter(turns[:at])
        waiting = [other for other in left if left[other] > 0]
        assert had[tenant] == min(had[other] for other in waiting)
        left[tenant] -= 1


def test_who_has_less_in_work_goes_first():
    order = fair_order(jobs_of(["a", "b"]), {"a": 2, "b": 1}, {"b": 50})

    assert [job.tenant for job in order] == ["b", "a"]


async def submit(queue: JobQueue, tenant: str) -> str:
    job = await queue.submit(
        kind="train",
        prefix="ftjob",
        tenant=tenant,
        requested_by="tester",
        idempotency_key="",
        spec=Struct(),
    )
    return job.job_id


class Recorded(InProcess):
    """Remembers whose job began when; the first of all waits for `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    async def __call__(self, job):
        self.order.append(job.tenant)
        self.began.set()
        await self.go.wait()
        return result_of(job, {"value": job.job_id})


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_hundred_jobs_of_one_tenant_delay_anothers_by_one_job_at_most(
    bus, jobs, working, workers
):
    queue, handler = JobQueue(bus), Recorded()
    for _ in range(100):
        last = await submit(queue, "many")
    async with working(handler, slots=workers):
        await asyncio.wait_for(handler.began.wait(), 60)
        other = await submit(queue, "few")
        handler.go.set()
        await jobs.until(other, JOB_STATUS_SUCCEEDED)
        assert handler.order.index("few") <= workers
        await jobs.until(last, JOB_STATUS_SUCCEEDED, within=60)

    assert Counter(handler.order) == {"many": 100, "few": 1}


async def test_jobs_that_were_taken_out_of_turn_are_acknowledged_too(bus, jobs, working):
    queue, handler = JobQueue(bus), Recorded()
    handler.go.set()
    made = [await submit(queue, tenant) for tenant in ("a", "a", "a", "b", "c", "b")]
    async with working(handler):
        for job_id in made:
            await jobs.until(job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)

    assert len(await jobs.announced()) == 6
