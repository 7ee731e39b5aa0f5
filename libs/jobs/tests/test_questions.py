"""A child asks its parent, who answers side by side, and nobody waits for an answer in vain."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from chain_worker import ChainHandler
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_PAUSED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_SUCCEEDED,
    JobState,
)
from modelmill_jobs import active, progress
from modelmill_jobs.errors import JobFailed
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually


class Answers:
    """Squares of numbers; the later of three questions is answered first."""

    def __init__(self) -> None:
        self.open = 0
        self.most_open = 0
        self._full = asyncio.Event()

    async def __call__(self, question: Mapping[str, Any]) -> int:
        number = int(question["number"])
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        if number == 2:
            self._full.set()
        await self._full.wait()
        self.open -= 1
        return number * number


async def test_questions_are_answered_side_by_side_and_no_more_at_once_than_the_child_says(
    working, jobs, store
):
    handler = ChainHandler(store)
    handler.on_question = answers = Answers()
    async with working(handler):
        job = await jobs.submit(questions=20)
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)

    assert state.result.digest == " ".join(str(number * number) for number in range(20))
    assert answers.most_open == 3


async def test_a_child_that_is_answered_is_not_silent(working, jobs, store, monkeypatch):
    seconds = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: seconds))

    async def slowly(question: Mapping[str, Any]) -> int:
        nonlocal seconds
        seconds += 0.7 * active.START_SILENCE_SECONDS
        # Until the watch has looked.
        await asyncio.sleep(3 * active.LOOK_SECONDS)
        return int(question["number"])

    handler = ChainHandler(store)
    handler.on_question = slowly
    async with working(handler):
        job = await jobs.submit(questions=2, at_once=1)
        state = await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED)

    assert (state.status, state.failures) == (JOB_STATUS_SUCCEEDED, 0)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (JobFailed("MODEL_GONE", "no such model"), JOB_STATUS_FAILED),
        (UnavailableError("nobody answers").because("MODEL_GONE"), JOB_STATUS_QUEUED),
    ],
)
async def test_a_question_without_an_answer_ends_the_attempt_as_the_parent_says(
    working, jobs, store, failure, status
):
    async def refuse(question: Mapping[str, Any]) -> int:
        if question["number"] == 1:
            raise failure
        await asyncio.Event().wait()
        return 0

    handler = ChainHandler(store)
    handler.on_question = refuse
    async with working(handler):
        job = await jobs.submit(questions=20)

        async def ended() -> JobState | None:
            states = await jobs.states(job.job_id)
            return next((each for each in states if each.error.code == "MODEL_GONE"), None)

        state = await eventually(ended)

    assert (state.status, state.failures) == (status, 0)


async def test_a_child_that_waits_for_an_answer_stops_when_it_is_told_to(working, jobs, store):
    asked = asyncio.Event()
    left = asyncio.Event()

    async def never(_question: Mapping[str, Any]) -> int:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return 0

    handler = ChainHandler(store)
    handler.on_question = never
    async with working(handler):
        job = await jobs.submit(questions=1)
        await asyncio.wait_for(asked.wait(), 20)
        await jobs.pause(job.job_id)
        await jobs.until(job.job_id, JOB_STATUS_PAUSED)

        assert left.is_set()
