"""What of a job's saved states is kept: what its state names, until it has succeeded."""

import asyncio
import itertools
from pathlib import Path

from chain_job import chain
from chain_worker import ChainHandler
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_PAUSED,
    JOB_STATUS_SUCCEEDED,
    JobRequested,
    JobState,
)
from modelmill_bus.subjects import job_state
from modelmill_jobs.claims import Claim
from modelmill_jobs.errors import Preempted
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually


def kept(store: Path) -> set[str]:
    return {folder.name for folder in store.iterdir()}


async def named(jobs, job_id: str) -> set[str]:
    state = await jobs.state(job_id)
    return {one.digest for one in (state.checkpoint, state.checkpoint_before) if one.digest}


async def test_a_handler_is_told_which_checkpoints_are_named_once_they_are(working, jobs, store):
    told: list[set[str]] = []

    class Listening(ChainHandler):
        async def _let_go(self, job, digests):
            assert await named(jobs, job.job_id) == set(digests)
            told.append(set(digests))

    async with working(Listening(store)):
        job = await jobs.submit(steps=20)
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert len(told) > 2
    assert [len(each) for each in told] == [1] + [2] * (len(told) - 1)
    assert all(before & after for before, after in itertools.pairwise(told))


async def test_at_most_three_are_kept_at_any_time_and_none_after_success(working, jobs, store):
    handler = ChainHandler(store)
    async with working(handler, after_success=handler.clear):
        job = await jobs.submit(steps=20)
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)

    assert handler.most_kept == 3
    assert kept(store) == set()


async def test_a_job_that_can_be_resumed_keeps_the_two_that_its_state_names(working, jobs, store):
    handler = ChainHandler(store, raise_at=17)
    async with working(handler, after_success=handler.clear):
        job = await jobs.submit(steps=20)
        await jobs.until(job.job_id, JOB_STATUS_FAILED)
        await eventually(jobs.all_acknowledged)
        assert kept(store) == await named(jobs, job.job_id)
        assert len(kept(store)) == 2

        await jobs.resume(job.job_id)
        handler._changes["raise_at"] = 0
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(lambda: not kept(store))


async def test_a_job_that_is_paused_goes_on_from_what_it_kept(working, jobs, store):
    handler = ChainHandler(store)
    async with working(handler, after_success=handler.clear):
        job = await jobs.submit(steps=60, wait_at=30)  # it does not end before it was paused
        await eventually(lambda: _has_two(jobs, job.job_id))
        await jobs.pause(job.job_id)
        await jobs.until(job.job_id, JOB_STATUS_PAUSED)
        assert await named(jobs, job.job_id) == kept(store)
        handler._changes["wait_at"] = 0
        await jobs.resume(job.job_id)
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(lambda: not kept(store))
    assert state.result.digest == chain(job.job_id, 60)


async def _has_two(jobs, job_id: str) -> bool:
    return len(await named(jobs, job_id)) == 2


async def test_what_could_not_be_deleted_costs_the_job_nothing_and_goes_with_the_next(
    working, jobs, store
):
    class Stumbling(ChainHandler):
        times = 0

        async def _let_go(self, job, digests):
            self.times += 1
            if self.times in (3, 4):
                raise UnavailableError("the store is away")
            await super()._let_go(job, digests)

    handler = Stumbling(store)
    async with working(handler):
        job = await jobs.submit(steps=30)
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert (state.attempt, state.failures) == (1, 0)
    assert handler.times > 5
    assert kept(store) == await named(jobs, job.job_id)


async def test_what_a_success_left_is_cleared_again_until_that_works(working, jobs, store):
    handler, told = ChainHandler(store), []

    async def clear(job_id: str) -> None:
        told.append(job_id)
        if len(told) < 3:
            raise UnavailableError("the store is away")
        await handler.clear(job_id)

    async with working(handler, after_success=clear):
        job = await jobs.submit(steps=20)
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)

    assert told == [job.job_id] * 3
    assert kept(store) == set()


async def test_after_a_worker_died_at_the_commit_another_one_clears(jobs, start_worker, store):
    job = await jobs.submit()
    first = start_worker(die_after_commit=True)
    await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
    await eventually(lambda: first.poll() is not None)
    assert kept(store)
    start_worker()
    await eventually(jobs.all_acknowledged)

    assert kept(store) == set()


async def test_an_overtaken_attempt_clears_what_it_stored_after_the_others_success(
    working, jobs, store, bus
):
    class Overtaken(ChainHandler):
        async def _keep(self, job, folder, step):
            request = JobRequested(job_id=job.job_id, kind="train", tenant="acme")
            before = await bus.last(job_state(job.job_id), JobState)
            taking = Claim(bus, request, before, asyncio.Event())
            await taking.take("another")
            state = taking.copy()
            state.status = JOB_STATUS_SUCCEEDED
            await taking.write(state)
            return await super()._keep(job, folder, step)

    handler = Overtaken(store)
    # Long claims: a second delivery, which would clear as well, does not come in time.
    async with working(handler, after_success=handler.clear, claim_seconds=60):
        job = await jobs.submit(steps=20)
        await eventually(lambda: handler.most_kept and not kept(store))

    assert (await jobs.state(job.job_id)).owner == "another"


async def test_figures_stay_with_a_job_that_ends_without_a_result(working, jobs, store):
    class Counting(ChainHandler):
        async def __call__(self, job):
            await job.save_checkpoint("sha256:1", 1, {"counted": 1})
            assert not job.is_to_stop
            await job.save_summary({"counted": 2})
            await eventually(lambda: job.is_to_stop)
            assert job.is_cancelled
            raise Preempted

    async with working(Counting(store)):
        job = await jobs.submit(steps=1)
        await eventually(lambda: counted(jobs, job.job_id))
        await jobs.cancel(job.job_id)
        state = await jobs.until(job.job_id, JOB_STATUS_CANCELLED)

    assert state.result.summary["counted"] == 2
    assert state.checkpoint.digest == "sha256:1"


async def counted(jobs, job_id: str) -> bool:
    return "counted" in (await jobs.state(job_id)).result.summary
