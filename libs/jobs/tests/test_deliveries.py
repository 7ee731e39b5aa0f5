"""Deliveries that come twice, late or while the job is in good hands."""

import asyncio

from chain_worker import InProcess, MakesMore
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobRequested
from modelmill_bus.subjects import job_progress, job_requested
from modelmill_jobs.claims import Claim
from modelmill_jobs.job_status import JobView
from modelmill_testkit.waiting import eventually


async def test_a_long_job_keeps_its_claim_while_another_worker_looks_for_work(working, jobs, bus):
    slow, idle = InProcess(), InProcess()
    async with working(slow, claim_seconds=2):
        job = await jobs.submit()
        await slow.began.wait()
        async with working(idle, claim_seconds=2):
            # A sign of life each quarter: three claims long, and an expired one would be taken.
            await eventually(lambda: _reports(bus, job.job_id, at_least=12))
            slow.go.set()
            state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert not idle.began.is_set()
    assert state.attempt == 1
    assert await jobs.delivered() == 1


async def test_a_second_delivery_of_a_job_in_good_hands_is_put_off(working, jobs):
    slow, idle = InProcess(), InProcess()
    async with working(slow, claim_seconds=6):
        job = await jobs.submit()
        await slow.began.wait()
        await jobs.forget_deliveries()
        async with working(idle, claim_seconds=6):
            await eventually(lambda: _delivered(jobs, at_least=1))
            slow.go.set()
            state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
            await eventually(jobs.all_acknowledged)

    assert not idle.began.is_set()
    assert (state.attempt, state.lost) == (1, 0)


async def _delivered(jobs, *, at_least: int) -> bool:
    return await jobs.delivered() >= at_least


async def test_a_job_delivered_again_long_after_its_end_is_not_announced_again(
    working, jobs, bus, store
):
    models = (await bus._link.js.stream_info("MODELS")).config
    await bus._link.js.update_stream(models.evolve(duplicate_window=0.1))
    async with working(MakesMore(store)):
        job = await jobs.submit()
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)
    await jobs.forget_deliveries()
    async with working(MakesMore(store)):
        await eventually(lambda: _delivered(jobs, at_least=1))
        await eventually(jobs.all_acknowledged)

    assert len(await jobs.announced()) == 2


async def _reports(bus, job_id: str, *, at_least: int) -> bool:
    return len([each async for each in bus.replay([job_progress(job_id)])]) >= at_least


async def test_a_claim_is_a_sign_of_life_before_the_first_report(jobs, bus):
    job = await jobs.submit()
    ordered = await bus.last(job_requested("train", "acme", job.job_id), JobRequested)
    claim = Claim(bus, ordered.body, None, asyncio.Event())
    await claim.take("a worker that has only just begun")
    job_view = await JobView.read(bus, ordered)

    assert await job_view.shows_life(bus, within_seconds=5)
    assert not await job_view.shows_life(bus, within_seconds=0)
