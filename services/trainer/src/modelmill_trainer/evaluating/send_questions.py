"""Sends model requests through the parent process, with periodic checkpoints."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from modelmill_jobs.child import ChildPort, Preempted

from modelmill_trainer.evaluating.answer_store import AnswerStore, Key

ASKING_SILENCE_SECONDS = 900.0
"""A request may wait for an inference service that is down."""


class ModelQuestion(Protocol):
    """A request to a model."""

    @property
    def key(self) -> Key:
        """Key of its answer."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Message to the parent, see `modelmill_trainer.model_requests.ModelRequestHandler`."""
        ...


def send_questions(
    port: ChildPort,
    questions: Sequence[ModelQuestion],
    answers: AnswerStore,
    at_once: int,
    checkpoint_seconds: float,
) -> None:
    """Send every question whose answer is not stored yet.

    Args:
        at_once: Concurrent requests.
        checkpoint_seconds: Interval between checkpoints.

    Raises:
        Preempted: the job was asked to stop; answers so far are saved.
    """
    wanted = {question.key for question in questions}
    known = sum(key in answers for key in wanted)
    left = [question for question in questions if question.key not in answers]
    progress = _Progress(port, known, len(questions))
    saved_at = time.monotonic()
    progress.report(known)
    try:
        for count, (question, answer) in enumerate(_answers(port, left, at_once), known + 1):
            answers.add(question.key, answer)
            progress.report(count)
            if time.monotonic() - saved_at >= checkpoint_seconds:
                port.checkpoint(answers.save(), len(answers))
                saved_at = time.monotonic()
    except Preempted:
        if answers.has_unsaved:
            port.checkpoint(answers.save(), len(answers))
        raise


def _answers(
    port: ChildPort, left: Sequence[ModelQuestion], at_once: int
) -> Iterator[tuple[ModelQuestion, dict[str, Any]]]:
    asked = (question.as_json() for question in left)
    for place, answer in port.ask(asked, at_once=at_once):
        yield left[place], answer


class _Progress:
    """Progress reports, with the rate since this attempt began."""

    def __init__(self, port: ChildPort, known: int, total: int) -> None:
        self._port = port
        self._known = known
        self._total = total
        self._began = time.monotonic()

    def report(self, done: int) -> None:
        seconds = time.monotonic() - self._began
        rate = (done - self._known) / seconds if seconds > 0 else 0.0
        self._port.report(
            "ask",
            done=done,
            total=self._total,
            unit="question",
            metrics={"questions_per_second": rate} if done > self._known else {},
            max_silence_seconds=ASKING_SILENCE_SECONDS,
        )
