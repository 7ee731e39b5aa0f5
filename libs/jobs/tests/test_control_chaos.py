"""People who disagree about jobs while workers and the broker die."""

import asyncio
import random

import pytest
from chain_job import chain
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_CANCELLED,
    JOB_STATUS_SUCCEEDED,
    JobProgress,
)
from modelmill_bus.subjects import job_progress
from modelmill_jobs.control import ControlJob
from modelmill_service_kit.errors import PreconditionError, UnavailableError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.tier("drills")


class People:
    """Three, who ask something of some job twelve times each."""

    def __init__(self, bus, job_ids: list[str], seed: int) -> None:
        self._owner = ControlJob(bus, ["train"])
        self._job_ids = job_ids
        self._dice = random.Random(seed)
        self.in_the_middle = asyncio.Event()

    async def disagree(self) -> None:
        await asyncio.gather(*(self._pause_and_resume() for _ in range(3)))

    async def _pause_and_resume(self) -> None:
        for number in range(12):
            if number == 4:
                self.in_the_middle.set()
            job_id = self._dice.choice(self._job_ids)
            # A cancel is final, so only the last job is cancelled.
            desired_state = self._dice.choice((1, 2, 3) if job_id == self._job_ids[-1] else (1, 2))
            try:
                await self._owner(
                    tenant="acme", job_id=job_id, desired_state=desired_state, requested_by="x"
                )
            except (PreconditionError, UnavailableError):
                continue


@pytest.mark.own_broker
@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_is_desired_and_whoever_dies_the_last_desired_state_comes_true(
    seed, broker, bus, jobs, start_worker
):
    job_ids = [(await jobs.submit(steps=40, step_seconds=0.01)).job_id for _ in range(3)]
    workers = [start_worker(), start_worker()]
    subject = job_progress(job_ids[0])
    await eventually(lambda: bus.last(subject, JobProgress))
    people = People(bus, job_ids, seed)
    disagreeing = asyncio.create_task(people.disagree())
    await people.in_the_middle.wait()
    broker.kill()
    workers[0].kill()
    await broker.start()
    await disagreeing
    await eventually(lambda: bus.connected)
    for job_id, desired_state in zip(
        job_ids,
        (JOB_DESIRED_STATE_RUN, JOB_DESIRED_STATE_RUN, JOB_DESIRED_STATE_CANCEL),
        strict=True,
    ):
        try:
            await jobs.desired_state(job_id, desired_state)
        except PreconditionError:
            assert (await jobs.state(job_id)).status == JOB_STATUS_SUCCEEDED

    for job_id in job_ids[:2]:
        state = await jobs.until(job_id, JOB_STATUS_SUCCEEDED, within=40)
        assert (state.result.digest, state.failures) == (chain(job_id, 40), 0)
    await jobs.until(job_ids[2], JOB_STATUS_CANCELLED, JOB_STATUS_SUCCEEDED, within=40)
    await eventually(jobs.all_acknowledged, within=20)
    for job_id in job_ids:
        history = await jobs.history(job_id)
        assert history.count(JOB_STATUS_SUCCEEDED) <= 1
        assert history[-1] == (await jobs.state(job_id)).status
