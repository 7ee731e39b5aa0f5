"""One worker in this process, jobs whose work is a child process."""

import asyncio
import os
import subprocess
import sys
import time

from chain_job import chain
from chain_worker import (
    ChainHandler,
    FindsAndMakesMore,
    InProcess,
    MakesMore,
    is_alive,
    result_of,
)
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobRequested,
    JobResumed,
    JobState,
)
from modelmill_bus.kinds import work_consumer
from modelmill_bus.subjects import job_progress, job_requested, job_resumed, job_state
from modelmill_jobs.active import AttemptTimeouts
from modelmill_jobs.claims import Claim
from modelmill_jobs.errors import JobFailed
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually
from nats.js.errors import NotFoundError
from prometheus_client import REGISTRY


async def test_a_job_succeeds_is_announced_once_and_acknowledged(working, jobs, store, tmp_path):
    async with working(ChainHandler(store)):
        job = await jobs.submit(steps=20)
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)

    assert state.result.digest == chain(job.job_id, 20)
    assert (state.attempt, state.failures, state.lost) == (1, 0, 0)
    assert state.checkpoint.step == 20
    assert await jobs.announced() == [state.result.version_id]
    assert not list((tmp_path / "work").iterdir())


async def test_slots_that_are_free_wait_for_one_delivery_together(working, bus, store):
    handler, turn_seconds = ChainHandler(store), 0.5

    async def waiting() -> int:
        try:
            consumer = work_consumer("trainer", handler.kind)
            return (await bus._link.js.consumer_info("JOBS", consumer)).num_waiting or 0
        except NotFoundError:
            return 0  # not made yet

    async with working(handler, slots=16, turn_seconds=turn_seconds):
        await eventually(waiting)
        seen = [await waiting() for _ in range(10)]
        left_at = time.monotonic()

    assert max(seen) == 1
    # Sixteen if they did; a busy machine needs more than the one.
    assert time.monotonic() - left_at < 12 * turn_seconds, "each slot waits for a turn of its own"


async def test_what_a_job_makes_besides_is_announced_before_what_was_asked_for(
    working, jobs, store
):
    async with working(MakesMore(store)):
        job = await jobs.submit()
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)

    assert await jobs.announced() == ["mv-more", state.result.version_id]


async def test_a_result_that_was_announced_before_the_job_is_not_announced_again(
    working, jobs, store
):
    async with working(FindsAndMakesMore(store)):
        job = await jobs.submit()
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)

    assert state.result.version_id
    assert await jobs.announced() == ["mv-more"]


async def test_progress_comes_at_most_four_times_a_second_and_always_the_last(
    working, bus, jobs, store
):
    async with working(ChainHandler(store)):
        job = await jobs.submit(steps=200, step_seconds=0.005)
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    seen = [stored.body async for stored in bus.replay([job_progress(job.job_id)])]
    assert [report.done for report in seen] == sorted(report.done for report in seen)
    assert seen[-1].done == seen[-1].total == 200
    assert {report.fence for report in seen} == {state.fence}
    seconds = (seen[-1].at.ToNanoseconds() - seen[0].at.ToNanoseconds()) / 1e9
    # The last of all does not wait for its turn.
    assert 2 <= len(seen) <= 4 * seconds + 2, seconds
    assert any(report.eta_seconds > 0 for report in seen)


async def test_what_a_child_works_on_stands_before_each_of_its_phases(working, bus, jobs, store):
    handler = ChainHandler(store)
    handler.about = "openvino-int8"
    async with working(handler):
        job = await jobs.submit(steps=3)
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    seen = [stored.body async for stored in bus.replay([job_progress(job.job_id)])]
    assert seen
    assert all(report.phase.startswith("openvino-int8: ") for report in seen)


async def test_a_job_that_keeps_failing_ends_failed_with_the_end_of_its_log(working, jobs, store):
    async with working(ChainHandler(store)):
        job = await jobs.submit(steps=20, raise_at=3)
        state = await jobs.until(job.job_id, JOB_STATUS_FAILED)
        await eventually(jobs.all_acknowledged)

    assert (state.failures, state.attempt, state.lost) == (3, 3, 0)
    assert state.error.code == "CHILD_DIED"
    assert "ArithmeticError: the chain broke" in state.error.log_tail
    assert state.error.remedy
    states = [each.status for each in await jobs.states(job.job_id)]
    assert states == [JOB_STATUS_RUNNING, JOB_STATUS_QUEUED] * 2 + [
        JOB_STATUS_RUNNING,
        JOB_STATUS_FAILED,
    ]


async def test_a_child_killed_from_outside_costs_one_failure_and_goes_on_from_its_checkpoint(
    working, jobs, store
):
    handler = ChainHandler(store)
    async with working(handler):
        job = await jobs.submit(steps=20, die_at=13)
        await eventually(lambda: _failed_once(jobs, job.job_id))
        handler._changes["die_at"] = 0
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert 1 <= state.failures < 3
    assert not state.HasField("error")
    assert state.result.digest == chain(job.job_id, 20)
    assert state.result.summary["began_at"] == 10


async def _failed_once(jobs, job_id: str) -> bool:
    return (await jobs.state(job_id)).failures > 0


async def test_a_hung_child_is_killed_and_counted(working, jobs, store, tmp_path):
    pid_file = tmp_path / "hung.pid"
    async with working(ChainHandler(store), max_failures=1):
        # Just behind the first report, and with time to get there on a busy machine.
        job = await jobs.submit(hang_at=2, max_silence_seconds=2, pid_file=str(pid_file))
        state = await jobs.until(job.job_id, JOB_STATUS_FAILED)

    assert state.error.code == "HUNG"
    assert "'chain'" in state.error.message
    assert state.failures == 1
    assert not is_alive(int(pid_file.read_text()))


async def test_a_child_that_waits_for_a_core_is_not_taken_for_hung(working, jobs, store):
    rivals = [busy_on_the_first_core() for _ in range(4)]
    try:
        async with working(ChainHandler(store), max_failures=1):
            job = await jobs.submit(
                compute_at=2, compute_seconds=1.0, max_silence_seconds=2.5, steps=2
            )
            state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED)
    finally:
        for each in rivals:
            each.kill()
            each.wait()

    assert (state.status, state.error.code) == (JOB_STATUS_SUCCEEDED, "")


def busy_on_the_first_core() -> subprocess.Popen[bytes]:
    rival = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    os.sched_setaffinity(rival.pid, [min(os.sched_getaffinity(0))])
    return rival


async def test_what_the_child_refuses_is_final_at_once(working, jobs, store):
    async with working(ChainHandler(store)):
        job = await jobs.submit(refuse="no rows")
        state = await jobs.until(job.job_id, JOB_STATUS_FAILED)

    assert (state.error.code, state.error.message) == ("REFUSED", "no rows")
    assert state.error.remedy == "ask for something else"
    assert state.attempt == 1


async def test_a_job_that_is_not_ready_waits_unclaimed(working, jobs, store):
    handler = ChainHandler(store)
    handler.ready = False
    asked = asyncio.Event()

    async def is_ready(_request) -> bool:
        asked.set()
        return handler.ready

    handler.is_ready = is_ready
    async with working(handler):
        job = await jobs.submit()
        await asked.wait()
        assert (await jobs.state(job.job_id)).attempt == 0
        handler.ready = True
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert state.attempt == 1


async def test_a_stop_gives_the_job_back_uncounted_and_another_goes_on(working, jobs, store):
    async with working(ChainHandler(store, wait_at=10)):
        job = await jobs.submit(steps=60)
        await eventually(lambda: _saved(jobs, job.job_id))
    stopped = await jobs.state(job.job_id)
    async with working(ChainHandler(store)):
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert stopped.status == JOB_STATUS_QUEUED
    assert (stopped.preemptions, stopped.failures) == (1, 0)
    assert state.result.digest == chain(job.job_id, 60)
    assert state.result.summary["began_at"] == stopped.checkpoint.step > 0
    assert (state.lost, state.failures) == (0, 0)


async def _saved(jobs, job_id: str) -> bool:
    return (await jobs.state(job_id)).checkpoint.step > 0


async def test_a_handler_that_hangs_is_ended_and_counted(working, jobs):
    timeouts = AttemptTimeouts(silence=0.1, hung_grace=0.1)
    async with working(InProcess(), max_failures=1, timeouts=timeouts):
        job = await jobs.submit()
        state = await jobs.until(job.job_id, JOB_STATUS_FAILED)

    assert (state.error.code, state.failures) == ("HUNG", 1)


async def test_a_handler_that_does_not_stop_when_told_is_stopped(working, jobs):
    handler = InProcess()
    async with working(handler, timeouts=AttemptTimeouts(stop=-0.9)):
        job = await jobs.submit()
        await handler.began.wait()
    state = await jobs.state(job.job_id)

    assert state.status == JOB_STATUS_QUEUED
    assert (state.preemptions, state.failures) == (1, 0)


async def test_a_checkpoint_that_is_being_stored_at_the_stop_is_kept(working, jobs, store):
    storing = asyncio.Event()

    class Slow(ChainHandler):
        async def _keep(self, job, folder, step):
            storing.set()
            await eventually(lambda: job.is_to_stop)
            return await super()._keep(job, folder, step)

    async with working(Slow(store), timeouts=AttemptTimeouts(stop=-1)):
        job = await jobs.submit(steps=1000)
        await storing.wait()
    state = await jobs.state(job.job_id)

    assert (state.status, state.preemptions) == (JOB_STATUS_QUEUED, 1)
    assert state.checkpoint.step > 0


async def test_outcomes_are_counted_for_prometheus(working, jobs):
    def finished(outcome: str) -> float:
        labels = {"kind": "train", "outcome": outcome}
        return REGISTRY.get_sample_value("modelmill_jobs_finished_total", labels) or 0.0

    before = finished("retried"), finished("failed")
    handler = InProcess(RuntimeError("no luck"))
    handler.go.set()
    async with working(handler):
        job = await jobs.submit()
        await jobs.until(job.job_id, JOB_STATUS_FAILED)

    assert (finished("retried"), finished("failed")) == (before[0] + 2, before[1] + 1)


async def test_a_job_that_takes_its_workers_along_ends_failed(working, jobs, bus):
    job = await jobs.submit()
    request = (await bus.last(job_requested("train", "acme", job.job_id), JobRequested)).body
    for _ in range(3):
        before = await bus.last(job_state(job.job_id), JobState)
        await Claim(bus, request, before, asyncio.Event()).take("a worker that dies")
    handler = InProcess()
    async with working(handler, max_lost=2):
        state = await jobs.until(job.job_id, JOB_STATUS_FAILED)

    assert state.lost == 3
    assert state.error.code == "WORKER_LOST"
    assert not handler.began.is_set()


async def test_work_waits_for_what_is_away_and_that_is_no_failure(working, jobs):
    handler = InProcess(UnavailableError("the store is away"))
    handler.go.set()
    async with working(handler, retry_seconds=0.05):
        job = await jobs.submit()
        await eventually(lambda: _was_tried(jobs, job.job_id, 5))
        waiting = await jobs.state(job.job_id)
        handler.failure = None
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert waiting.error.message == "the store is away"
    assert waiting.error.remedy
    assert (state.failures, state.lost, state.HasField("error")) == (0, 0, False)


async def _was_tried(jobs, job_id: str, times: int) -> bool:
    return (await jobs.state(job_id)).attempt >= times


async def test_a_checkpoint_waits_for_a_store_that_is_away_and_no_step_is_lost(
    working, jobs, store
):
    handler = ChainHandler(store)
    handler.store_away_for = 5
    async with working(handler, timeouts=AttemptTimeouts(store_retry=0.05)):
        job = await jobs.submit(steps=20)
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert handler.store_away_for == 0
    assert (state.attempt, state.failures) == (1, 0)
    assert state.result.digest == chain(job.job_id, 20)


async def test_a_failed_job_runs_again_only_when_it_is_resumed(working, jobs, bus):
    handler = InProcess(JobFailed("NO", "not today"))
    handler.go.set()
    async with working(handler):
        job = await jobs.submit()
        await jobs.until(job.job_id, JOB_STATUS_FAILED)
        handler.failure = None
        await bus.publish(job_resumed("train", "acme", job.job_id), JobResumed(job_id=job.job_id))
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert state.attempt == 2
    assert not state.HasField("error")
    assert state.failures == 0


async def test_an_announcement_that_is_not_one_fails_before_the_commit(working, jobs):
    class Wrong(InProcess):
        async def __call__(self, job):
            result = result_of(job, {"value": ""})
            result.announcement.update({"no_such_field": 1})
            return result

    async with working(Wrong()):
        job = await jobs.submit()
        state = await jobs.until(job.job_id, JOB_STATUS_FAILED)

    assert state.failures == 3
    assert await jobs.announced() == []
