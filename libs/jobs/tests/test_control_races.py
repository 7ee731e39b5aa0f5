"""Control requests at the worst moment: states stay legal, and the last desired state comes
true."""

import asyncio
import os
import signal

import pytest
from chain_job import chain
from chain_worker import ChainHandler, InProcess
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_CANCELLED,
    JOB_STATUS_PAUSED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobControl,
    JobProgress,
    JobRequested,
    JobResult,
)
from modelmill_bus.subjects import job_control, job_progress, job_requested
from modelmill_jobs.attempt import Attempt, AttemptRules, nothing_left
from modelmill_jobs.claims import Claim
from modelmill_jobs.control import finalize_unclaimed
from modelmill_jobs.control_signals import ControlSignal, StopOrder
from modelmill_jobs.errors import Fenced, Preempted
from modelmill_jobs.job_status import JobView
from modelmill_service_kit.errors import PreconditionError
from modelmill_testkit.waiting import eventually

DURABLE = "trainer-work-train"
SLOW = {"steps": 300, "step_seconds": 0.03, "save_every": 50}
"""Longer than any desired state takes."""


async def claimed(jobs, job_id: str) -> bool:
    return (await jobs.state(job_id)).status == JOB_STATUS_RUNNING


async def reported(jobs, job_id: str) -> bool:
    return await jobs.bus.last(job_progress(job_id), JobProgress) is not None


async def ended(jobs, job_id: str) -> bool:
    return (await jobs.state(job_id)).status == JOB_STATUS_SUCCEEDED


async def test_a_desired_state_stops_a_child_that_is_only_starting_or_in_mid_step(
    working, jobs, store
):
    async with working(ChainHandler(store), slots=2):
        for moment in (claimed, reported):
            paused, cancelled = await jobs.submit(**SLOW), await jobs.submit(**SLOW)
            for job, desired_state in ((paused, jobs.pause), (cancelled, jobs.cancel)):
                await eventually(lambda job=job, moment=moment: moment(jobs, job.job_id))
                await desired_state(job.job_id)
            states = [
                await jobs.until(paused.job_id, JOB_STATUS_PAUSED),
                await jobs.until(cancelled.job_id, JOB_STATUS_CANCELLED),
            ]
            await eventually(jobs.all_acknowledged)
            assert [(each.failures, each.lost, each.preemptions) for each in states] == [
                (0, 0, 0)
            ] * 2
            assert await jobs.history(cancelled.job_id) == [2, JOB_STATUS_CANCELLED]


async def test_of_a_claim_and_a_cancel_at_once_either_comes_first_and_the_job_is_cancelled(
    working, jobs, store
):
    async with working(ChainHandler(store), slots=2):
        submitted = [await jobs.submit(**SLOW) for _ in range(10)]
        await asyncio.gather(*(jobs.cancel(job.job_id) for job in submitted))
        for job in submitted:
            state = await jobs.until(job.job_id, JOB_STATUS_CANCELLED)
            assert (state.failures, state.lost, state.preemptions) == (0, 0, 0)
        await eventually(jobs.all_acknowledged)
    for job in submitted:
        assert await jobs.history(job.job_id) in ([JOB_STATUS_CANCELLED], [2, JOB_STATUS_CANCELLED])


async def test_a_job_that_succeeds_while_it_is_cancelled_ends_one_way_for_good(
    working, jobs, store
):
    outcomes = set()
    async with working(ChainHandler(store), slots=2):
        for last_step in (18, 19, 20):
            job = await jobs.submit(steps=20, step_seconds=0.01, save_every=100)

            async def near_the_end(job=job, last_step=last_step) -> bool:
                stored = await jobs.bus.last(job_progress(job.job_id), JobProgress)
                return stored is not None and stored.body.done >= last_step

            await eventually(near_the_end)
            try:
                await jobs.cancel(job.job_id)
            except PreconditionError:
                assert await ended(jobs, job.job_id)
            state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED, JOB_STATUS_CANCELLED)
            await eventually(jobs.all_acknowledged)
            assert await jobs.history(job.job_id) == [2, state.status]
            outcomes.add(state.status)
            announced = state.result.version_id in await jobs.announced()
            assert announced == (state.status == JOB_STATUS_SUCCEEDED)
    assert outcomes


async def test_a_cancel_between_commit_and_acknowledgement_changes_nothing(jobs, start_worker):
    job = await jobs.submit()
    first = start_worker(die_after_commit=True)
    await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
    await eventually(lambda: first.poll() is not None)
    # As written by an owner that had read the state before the commit.
    desired_state = JobControl(job_id=job.job_id, desired_state=JOB_DESIRED_STATE_CANCEL)
    await jobs.bus.publish(job_control(job.job_id), desired_state, expect_last=0)
    start_worker()
    await eventually(jobs.all_acknowledged)

    assert await jobs.history(job.job_id) == [2, JOB_STATUS_SUCCEEDED]
    assert len(await jobs.announced()) == 1


async def test_a_cancel_of_a_job_whose_worker_died_is_seen_to_by_the_next(jobs, start_worker):
    job = await jobs.submit(**SLOW)
    first = start_worker()
    await eventually(lambda: reported(jobs, job.job_id))
    first.kill()
    first.wait()
    await jobs.cancel(job.job_id)
    assert await claimed(jobs, job.job_id)
    start_worker()
    await jobs.until(job.job_id, JOB_STATUS_CANCELLED)
    await eventually(jobs.all_acknowledged)

    assert await jobs.history(job.job_id) == [2, JOB_STATUS_CANCELLED]


async def test_a_desired_state_that_was_written_while_nobody_acted_is_seen_to_by_a_worker(
    working, jobs, bus
):
    """Of an owner that died between the desired state and the state, for each state it may have
    left."""
    handler = InProcess()
    handler.go.set()
    queued, paused = await jobs.submit(), await jobs.submit()
    await jobs.pause(paused.job_id)
    for job in (queued, paused):
        desired_state = JobControl(job_id=job.job_id, desired_state=JOB_DESIRED_STATE_CANCEL)
        await bus.publish(job_control(job.job_id), desired_state)
    async with working(handler):
        for job in (queued, paused):
            await jobs.until(job.job_id, JOB_STATUS_CANCELLED)
        await eventually(jobs.all_acknowledged)
        assert not handler.began.is_set()
        # A repeat of the desired state does what was left out, too.
        await jobs.cancel(paused.job_id)
    assert await jobs.history(paused.job_id) == [JOB_STATUS_PAUSED, JOB_STATUS_CANCELLED]


async def test_a_pause_that_is_taken_back_before_the_worker_acted_costs_nothing(
    working, jobs, store, tmp_path
):
    go_file = tmp_path / "go"
    async with working(ChainHandler(store)):
        # It does not end before it has been paused three times.
        job = await jobs.submit(steps=60, wait_at=30, go_file=str(go_file))
        for _ in range(3):
            await eventually(lambda: reported(jobs, job.job_id))
            await jobs.pause(job.job_id)
            await jobs.resume(job.job_id)
        go_file.touch()
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)

    assert (state.failures, state.lost, state.preemptions) == (0, 0, 0)
    assert state.result.digest == chain(job.job_id, 60)
    assert set(await jobs.history(job.job_id)) <= {
        JOB_STATUS_RUNNING,
        JOB_STATUS_PAUSED,
        JOB_STATUS_QUEUED,
        JOB_STATUS_SUCCEEDED,
    }


async def test_a_child_that_dies_of_a_pause_that_was_taken_back_is_no_failure(
    working, jobs, store, tmp_path
):
    pid_file, waiting_file = tmp_path / "deaf.pid", tmp_path / "waiting"
    handler = ChainHandler(store)
    async with working(handler):
        job = await jobs.submit(deaf_at=7, pid_file=str(pid_file), waiting_file=str(waiting_file))
        # A pause that came sooner would stop it as any other child.
        await eventually(waiting_file.exists)
        await jobs.pause(job.job_id)
        pid = int(await eventually(lambda: pid_file.exists() and pid_file.read_text()))
        await jobs.resume(job.job_id)
        handler._changes["deaf_at"] = 0
        os.kill(pid, signal.SIGKILL)
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert (state.failures, state.lost, state.preemptions) == (0, 0, 0)
    assert state.result.digest == chain(job.job_id, 20)


async def test_a_run_that_is_desired_while_a_pause_is_being_written_is_not_lost(
    working, jobs, bus, tmp_path
):
    job = await jobs.submit()
    deliveries = bus.deliveries(DURABLE, ["job.requested.train.>"], ack_wait_seconds=60)
    delivery = await deliveries.next(timeout=60)
    await deliveries.close()
    subject, never = job_requested("train", "acme", job.job_id), asyncio.Event()
    request = (await bus.last(subject, JobRequested)).body
    claim = Claim(bus, request, None, never)
    await claim.take("a worker")
    await jobs.pause(job.job_id)
    heard = ControlSignal(bus, job.job_id)  # followed by nobody: the news is late
    await heard.look()
    await jobs.resume(job.job_id)

    async def stopped(_job: object) -> JobResult:
        raise Preempted

    attempt = Attempt(
        bus,
        request,
        claim,
        delivery,
        StopOrder(never, heard),
        folder=tmp_path / "folder",
        rules=AttemptRules(5, 3, 1, lambda: None, nothing_left),
    )
    assert await attempt.run(stopped) == "withdrawn"
    handler = InProcess()
    handler.go.set()
    async with working(handler):
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
    assert await jobs.history(job.job_id) == [2, JOB_STATUS_PAUSED, 2, JOB_STATUS_SUCCEEDED]


async def test_of_a_park_and_a_claim_the_later_one_is_told(jobs, bus):
    job = await jobs.submit()
    subject = job_requested("train", "acme", job.job_id)
    job_view = await JobView.read(bus, await bus.last(subject, JobRequested))
    never = asyncio.Event()
    await finalize_unclaimed(
        bus, job_view.ordered.body, job_view.before, JOB_DESIRED_STATE_PAUSE, never
    )

    with pytest.raises(Fenced):
        await finalize_unclaimed(
            bus, job_view.ordered.body, job_view.before, JOB_DESIRED_STATE_CANCEL, never
        )


@pytest.mark.parametrize("later", [JOB_DESIRED_STATE_CANCEL, JOB_DESIRED_STATE_RUN])
async def test_a_pause_that_was_overtaken_before_it_was_acted_on_undoes_nothing(
    jobs, bus, monkeypatch, later
):
    job = await jobs.submit()
    publish = bus.publish

    async def overtaken(subject, body, **options):
        sequence = await publish(subject, body, **options)
        if isinstance(body, JobControl) and body.desired_state == JOB_DESIRED_STATE_PAUSE:
            await jobs.desired_state(job.job_id, later)
        return sequence

    monkeypatch.setattr(bus, "publish", overtaken)
    await jobs.pause(job.job_id)

    expected = [JOB_STATUS_CANCELLED] if later == JOB_DESIRED_STATE_CANCEL else []
    assert await jobs.history(job.job_id) == expected
