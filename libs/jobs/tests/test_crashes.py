"""Worker processes and brokers that are killed, frozen and told to stop in mid-work."""

import asyncio
import signal

import pytest
from chain_job import chain
from chain_worker import is_alive
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_QUEUED,
    JOB_STATUS_SUCCEEDED,
    JobState,
)
from modelmill_bus.subjects import job_state
from modelmill_job_index.index import JobIndex
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.tier("drills")

SLOW = {"steps": 60, "step_seconds": 0.02}


async def saved(jobs, job_id: str) -> JobState | None:
    """The state once the first checkpoint is in it."""
    state = await jobs.state(job_id)
    return state if state.checkpoint.step else None


async def successes(jobs, job_id: str) -> int:
    states = await jobs.states(job_id)
    return sum(state.status == JOB_STATUS_SUCCEEDED for state in states)


async def test_a_worker_killed_in_mid_work_is_followed_by_another_from_the_checkpoint(
    jobs, start_worker
):
    job = await jobs.submit(**SLOW)
    first = start_worker()
    await eventually(lambda: saved(jobs, job.job_id))
    first.kill()
    start_worker()
    state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
    await eventually(jobs.all_acknowledged)

    assert state.result.digest == chain(job.job_id, 60)
    assert state.result.summary["began_at"] >= 5
    assert (state.lost, state.failures, state.attempt) == (1, 0, 2)
    assert await successes(jobs, job.job_id) == 1
    assert await jobs.announced() == [state.result.version_id]


async def test_a_job_whose_worker_died_does_not_wait_until_nobody_else_does(jobs, start_worker):
    job = await jobs.submit(**SLOW)
    first = start_worker()
    await eventually(lambda: saved(jobs, job.job_id))
    others = [await jobs.submit(**SLOW) for _ in range(8)]
    first.kill()
    start_worker()
    await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED, within=40)

    # Some were begun while its claim had not run out yet.
    ended = [(await jobs.state(each.job_id)).status for each in others]
    assert ended.count(JOB_STATUS_SUCCEEDED) <= 4


async def test_a_child_ends_with_its_parent(jobs, start_worker, tmp_path):
    pid_file = tmp_path / "child.pid"
    await jobs.submit(hang_at=3, pid_file=str(pid_file))
    worker = start_worker()
    pid = int(await eventually(lambda: pid_file.exists() and pid_file.read_text()))
    assert is_alive(pid)
    worker.kill()

    await eventually(lambda: not is_alive(pid))


async def test_a_worker_killed_between_commit_and_publish_still_announces_once(jobs, start_worker):
    job = await jobs.submit()
    first = start_worker(die_after_commit=True)
    state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
    await eventually(lambda: first.poll() is not None)
    assert await jobs.announced() == []
    start_worker()
    await eventually(jobs.all_acknowledged)

    assert await jobs.announced() == [state.result.version_id]
    assert await successes(jobs, job.job_id) == 1


async def test_a_zombie_cannot_commit(jobs, start_worker):
    job = await jobs.submit(**SLOW)
    zombie = start_worker()
    held = await eventually(lambda: saved(jobs, job.job_id))
    zombie.send_signal(signal.SIGSTOP)
    start_worker()
    await eventually(lambda: _is_owned_by_another(jobs, held))
    zombie.send_signal(signal.SIGCONT)
    state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
    await eventually(jobs.all_acknowledged)

    owners = [each.owner for each in await jobs.states(job.job_id)]
    assert owners == sorted(owners, key=owners.index), "the first owner wrote after the second"
    assert state.owner != held.owner
    assert state.lost == 1
    assert state.result.digest == chain(job.job_id, 60)
    assert await successes(jobs, job.job_id) == 1
    assert await jobs.announced() == [state.result.version_id]


async def _is_owned_by_another(jobs, held: JobState) -> bool:
    state = await jobs.state(held.job_id)
    return state.owner != held.owner


async def test_sigterm_saves_gives_back_and_counts_no_failure(jobs, start_worker):
    job = await jobs.submit(**SLOW)
    first = start_worker()
    await eventually(lambda: saved(jobs, job.job_id))
    first.terminate()
    await eventually(lambda: first.poll() is not None)
    given_back = await jobs.state(job.job_id)
    start_worker()
    state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert first.returncode == 0
    assert given_back.status == JOB_STATUS_QUEUED
    assert given_back.preemptions == 1
    assert state.result.summary["began_at"] == given_back.checkpoint.step
    assert (state.lost, state.failures) == (0, 0)
    assert state.result.digest == chain(job.job_id, 60)


@pytest.mark.own_broker
async def test_a_broker_killed_and_restarted_in_mid_job_costs_nothing_but_time(
    broker, jobs, start_worker, bus
):
    job_index = JobIndex(bus)
    following = asyncio.create_task(job_index.run())
    job = await jobs.submit(steps=100, step_seconds=0.02)
    start_worker()
    start_worker()
    await eventually(lambda: saved(jobs, job.job_id))
    await job_index.wait_for(job.sequence, timeout=60)
    broker.kill()
    await broker.start()
    await eventually(
        lambda: job_index.get("acme", job.job_id).state.status == JOB_STATUS_SUCCEEDED, within=20
    )
    following.cancel()

    stored = await bus.last(job_state(job.job_id), JobState)
    assert stored.body.result.digest == chain(job.job_id, 100)
    assert await successes(jobs, job.job_id) == 1
    assert await eventually(jobs.announced) == [stored.body.result.version_id]
    assert job_index.get("acme", job.job_id).progress.done == 100
