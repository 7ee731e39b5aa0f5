"""Questions put through the job's parent, and answers saved on the way."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from modelmill_jobs.child import ChildPort, Preempted

from modelmill_trainer.evaluating.answer_book import AnswerBook, Key

ASKING_SILENCE_SECONDS = 900.0
"""A question may wait for a service that is away."""


class Asked(Protocol):
    """A question."""

    @property
    def key(self) -> Key:
        """By which its answer is kept."""
        ...

    def as_json(self) -> dict[str, Any]:
        """As the parent takes it, see `modelmill_trainer.ask_models.OpenModels`."""
        ...


def ask_all(
    port: ChildPort,
    questions: Sequence[Asked],
    book: AnswerBook,
    at_once: int,
    checkpoint_seconds: float,
) -> None:
    """Put every question that has no answer in the book yet.

    Args:
        at_once: Questions that are open at any time.
        checkpoint_seconds: Between two savings of answers.

    Raises:
        Preempted: told to stop; what was answered is saved.
    """
    wanted = {question.key for question in questions}
    known = sum(key in book for key in wanted)
    left = [question for question in questions if question.key not in book]
    progress = _Progress(port, known, len(questions))
    saved_at = time.monotonic()
    progress.report(known)
    try:
        for count, (question, answer) in enumerate(_answers(port, left, at_once), known + 1):
            book.add(question.key, answer)
            progress.report(count)
            if time.monotonic() - saved_at >= checkpoint_seconds:
                port.checkpoint(book.save(), len(book))
                saved_at = time.monotonic()
    except Preempted:
        if book.has_unsaved:
            port.checkpoint(book.save(), len(book))
        raise


def _answers(
    port: ChildPort, left: Sequence[Asked], at_once: int
) -> Iterator[tuple[Asked, dict[str, Any]]]:
    asked = (question.as_json() for question in left)
    for place, answer in port.ask(asked, at_once=at_once):
        yield left[place], answer


class _Progress:
    """How far the asking is, and how fast since it went on."""

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
