"""A short job does not wait behind a long one, and takes nobody's room."""

import asyncio
from typing import Any

import pytest
from chain_worker import InProcess, result_of
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JOB_STATUS_UNSPECIFIED,
)
from modelmill_jobs.submit import JobQueue, SubmittedJob
from modelmill_jobs.waiting import ShortJobs
from modelmill_service_kit.machine_size import MachineSize
from modelmill_testkit.waiting import eventually

SHORT = ShortJobs(slots=1, seconds=60)
GB = 10**9
LAPTOP = MachineSize(cpus=2, memory_bytes=8 * GB)
HALF = MachineSize(cpus=1, memory_bytes=4 * GB)


class Named(InProcess):
    """Long jobs wait for `go`, short ones for `short_go`; remembers what is in work at once."""

    def __init__(self) -> None:
        super().__init__()
        self.short_go = asyncio.Event()
        self.short_go.set()
        self.in_work: set[str] = set()
        self.most = 0
        self.order: list[str] = []

    async def __call__(self, job: Any) -> Any:
        self.in_work.add(job.job_id)
        self.order.append(job.job_id)
        self.most = max(self.most, len(self.in_work))
        is_short = 0 < job.request.expected_seconds <= SHORT.seconds
        await (self.short_go if is_short else self.go).wait()
        self.in_work.discard(job.job_id)
        return result_of(job, {"value": job.job_id})


async def submit(
    bus: Any, *, seconds: float = 0.0, needs: MachineSize | None = None, tenant: str = "acme"
) -> SubmittedJob:
    return await JobQueue(bus).submit(
        kind="train",
        prefix="ftjob",
        tenant=tenant,
        requested_by="tester",
        idempotency_key="",
        spec=Struct(),
        needs=needs,
        expected_seconds=seconds,
    )


@pytest.fixture
def handler() -> Named:
    return Named()


async def begun(handler: Named, job: SubmittedJob) -> None:
    await eventually(lambda: job.job_id in handler.order)


async def test_a_short_job_runs_beside_a_long_one_and_other_long_ones_wait(
    bus, jobs, working, handler
):
    long = await submit(bus)
    async with working(handler, short=SHORT, size=LAPTOP):
        await begun(handler, long)
        other, unknown = await submit(bus, seconds=61), await submit(bus)
        short = [await submit(bus, seconds=60, needs=HALF) for _ in range(3)]
        for job in short:
            await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        assert handler.in_work == {long.job_id}
        assert handler.most == 2
        for job in (other, unknown):
            assert (await jobs.state(job.job_id)).status == JOB_STATUS_UNSPECIFIED
        handler.go.set()
        for job in (long, other, unknown):
            await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)


async def test_a_short_job_that_does_not_fit_beside_the_long_one_waits(bus, jobs, working, handler):
    long = await submit(bus, needs=MachineSize(cpus=1, memory_bytes=6 * GB))
    async with working(handler, short=SHORT, size=LAPTOP):
        await begun(handler, long)
        large = await submit(bus, seconds=5, needs=HALF)
        small = await submit(bus, seconds=5, needs=MachineSize(1, GB), tenant="other")
        await jobs.until(small.job_id, JOB_STATUS_SUCCEEDED)
        assert large.job_id not in handler.order
        handler.go.set()
        await jobs.until(large.job_id, JOB_STATUS_SUCCEEDED)
    assert handler.most == 2


async def test_short_jobs_take_no_room_from_the_job_whose_turn_it_is(bus, jobs, working, handler):
    handler.short_go.clear()
    long = await submit(bus, needs=HALF)
    async with working(handler, short=SHORT, size=LAPTOP) as worker:
        await begun(handler, long)
        large = await submit(bus, needs=LAPTOP)
        beside = await submit(bus, seconds=5, needs=HALF)
        await begun(handler, beside)
        handler.go.set()
        await jobs.until(long.job_id, JOB_STATUS_SUCCEEDED)
        # It has its slot a moment longer, in which short ones take nothing from another job.
        await eventually(lambda: worker.load.busy_slots == 0)
        later = [await submit(bus, seconds=5, needs=HALF) for _ in range(9)]
        handler.short_go.set()
        for job in (large, *later):
            await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
    assert handler.order[:3] == [long.job_id, beside.job_id, large.job_id]


async def test_without_a_slot_for_them_short_jobs_wait(bus, jobs, working, handler):
    long = await submit(bus)
    async with working(handler, size=LAPTOP):
        await begun(handler, long)
        short = await submit(bus, seconds=5)
        state = await jobs.state(long.job_id)
        assert state.status in (JOB_STATUS_QUEUED, JOB_STATUS_RUNNING)
        handler.go.set()
        await jobs.until(short.job_id, JOB_STATUS_SUCCEEDED)
    assert handler.order == [long.job_id, short.job_id]
    assert handler.most == 1


async def test_short_jobs_of_several_workers_are_done_once_each(bus, jobs, working, handler):
    long = [await submit(bus) for _ in range(2)]
    others = Named()
    # Long claims: what a busy machine holds up for a second is not done by both.
    options = {"short": SHORT, "claim_seconds": 10}
    async with working(handler, **options), working(others, **options):
        await eventually(lambda: len(handler.in_work | others.in_work) == 2)
        short = [await submit(bus, seconds=5) for _ in range(12)]
        for job in short:
            await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        handler.go.set()
        others.go.set()
        for job in long:
            await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)
    assert sorted(handler.order + others.order) == sorted(each.job_id for each in long + short)
