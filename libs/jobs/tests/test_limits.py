"""How much of a tenant's is in work at once, and which workers a job fits."""

import asyncio
import signal
from collections import Counter

import pytest
from chain_worker import ChainHandler, InProcess, result_of
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED
from modelmill_bus.bus import Bus
from modelmill_job_index.index import JobIndex
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.machine_size import MachineSize
from modelmill_testkit.waiting import eventually

GB = 10**9


def memory(gigabytes: int) -> MachineSize:
    return MachineSize(cpus=1, memory_bytes=gigabytes * GB)


async def submit(bus: Bus, tenant: str, needs: MachineSize | None = None) -> str:
    job = await JobQueue(bus).submit(
        kind="train",
        prefix="ftjob",
        tenant=tenant,
        requested_by="tester",
        idempotency_key="",
        spec=Struct(),
        needs=needs,
    )
    return job.job_id


class Counting(InProcess):
    """Counts what is in work at once, over all workers that it is given to."""

    def __init__(self) -> None:
        super().__init__()
        self.in_work: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.order: list[str] = []
        self.go.set()

    async def __call__(self, job):
        tenant = job.tenant
        self.order.append(job.job_id)
        self.in_work[tenant] += 1
        self.most[tenant] = max(self.most[tenant], self.in_work[tenant])
        self.began.set()
        for _ in range(3):  # others get their turn
            await job.report("work")
            await asyncio.to_thread(int)
        await self.go.wait()
        self.in_work[tenant] -= 1
        return result_of(job, {"value": job.job_id})


@pytest.mark.parametrize("limit", [1, 2])
async def test_two_workers_together_keep_to_the_limit_of_a_tenant(
    broker, bus, jobs, working, limit
):
    handler = Counting()
    handler.go.clear()
    made = [await submit(bus, tenant) for tenant in ["many"] * 16 + ["few"] * 4]
    async with Bus.connect(broker.url, broker.token, name="second") as other:
        # Long claims: what a busy machine holds up for a second is not taken for lost.
        options = {"slots": 3, "jobs_per_tenant": limit, "claim_seconds": 10}
        async with working(handler, **options), working(handler, bus=other, **options):
            await eventually(lambda: handler.in_work["many"] == limit)
            handler.go.set()
            states = [await jobs.until(each, JOB_STATUS_SUCCEEDED, within=60) for each in made]
            await eventually(jobs.all_acknowledged)

    assert handler.most["many"] == limit
    assert handler.most["few"] <= limit
    assert {(state.attempt, state.failures, state.lost) for state in states} == {(1, 0, 0)}


async def test_a_job_whose_worker_died_is_taken_over_although_its_tenant_is_at_its_limit(
    jobs, working, store, start_worker
):
    lost = start_worker()
    job = await jobs.submit(wait_at=10)
    await jobs.until(job.job_id, JOB_STATUS_RUNNING)
    lost.send_signal(signal.SIGKILL)
    async with working(ChainHandler(store, wait_at=0), jobs_per_tenant=1):
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert (state.attempt, state.lost) == (2, 1)


async def test_a_job_that_fits_no_worker_waits_and_says_so_until_one_comes(
    bus, jobs, working, job_index: JobIndex
):
    handler = Counting()
    small, large = await submit(bus, "a", memory(3)), await submit(bus, "b", memory(40))
    async with working(handler, size=memory(24)):
        await jobs.until(small, JOB_STATUS_SUCCEEDED)
        later = await submit(bus, "b", memory(24))
        await jobs.until(later, JOB_STATUS_SUCCEEDED)
        # Read from the broker above; the index reads the stream at its own pace.
        await job_index.wait_for(await bus.last_sequence("JOBS"), timeout=60)
        turn = job_index.get("b", large).turn
    assert turn.reason == "needs 40.0 GB; the largest worker that was seen has 24.0 GB"
    assert turn.position is None
    assert handler.order == [small, later]

    async with working(handler, size=memory(64)):
        await jobs.until(large, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)


async def test_a_worker_takes_only_what_fits_next_to_what_it_has(bus, jobs, working):
    handler = Counting()
    handler.go.clear()
    made = [await submit(bus, "a", memory(4)) for _ in range(8)]
    async with working(handler, slots=4, size=MachineSize(cpus=8, memory_bytes=10 * GB)):
        await eventually(lambda: handler.in_work["a"] == 2)
        handler.go.set()
        for job_id in made:
            await jobs.until(job_id, JOB_STATUS_SUCCEEDED)

    assert handler.most["a"] == 2


async def test_small_jobs_do_not_overtake_a_large_one_for_ever(bus, jobs, working):
    handler = Counting()
    handler.go.clear()
    first = await submit(bus, "a", memory(6))
    async with working(handler, slots=2, size=MachineSize(cpus=8, memory_bytes=10 * GB)):
        await asyncio.wait_for(handler.began.wait(), 60)
        large = await submit(bus, "a", memory(10))
        small = [await submit(bus, "a", memory(1)) for _ in range(4)]
        seen = await jobs.delivered()
        await eventually(lambda: _more_than(jobs, seen + 3))
        assert handler.order == [first]
        handler.go.set()
        for job_id in (large, *small):
            await jobs.until(job_id, JOB_STATUS_SUCCEEDED)

    assert handler.order[:2] == [first, large]


async def _more_than(jobs, deliveries: int) -> bool:
    return await jobs.delivered() > deliveries
