"""Sends model requests through the parent process, with periodic checkpoints."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from modelmill_jobs.child import ChildPort, Preempted

Key = tuple[str, str, int, str]
"""Suite, row, side (model) and request kind."""
ASKING_SILENCE_SECONDS = 900.0
"""A request may wait for an inference service that is down."""


class AnswerStore:
    """Append-only store of answers, which a resumed job reads instead of asking again.

    Part files are written once, so that consecutive checkpoints share their content.

    Args:
        folder: Created here, for this attempt.
        earlier: Folder of the checkpoint to resume from; None for a fresh start.
    """

    def __init__(self, folder: Path, earlier: Path | None) -> None:
        self._folder = folder
        self._answers: dict[Key, dict[str, Any]] = {}
        self._unsaved: list[str] = []
        folder.mkdir(parents=True)
        for part in sorted(earlier.glob("answers-*.jsonl")) if earlier else ():
            text = part.read_text("utf-8")
            (folder / part.name).write_text(text, "utf-8")
            # Not `splitlines`: it also splits at Unicode separators inside an answer.
            for line in text.removesuffix("\n").split("\n"):
                entry = json.loads(line)
                self._answers[_key(entry["key"])] = entry["answer"]
        self._parts = len(list(folder.iterdir()))

    def __len__(self) -> int:
        return len(self._answers)

    def __contains__(self, key: object) -> bool:
        return key in self._answers

    @property
    def has_unsaved(self) -> bool:
        """Whether there are answers that are not on disk yet."""
        return bool(self._unsaved)

    def get(self, key: Key) -> dict[str, Any] | None:
        """The answer, as `ModelRequestHandler` returned it."""
        return self._answers.get(key)

    def add(self, key: Key, answer: dict[str, Any]) -> None:
        """Add an answer, in memory until `save`."""
        self._answers[key] = answer
        entry = {"key": list(key), "answer": answer}
        self._unsaved.append(json.dumps(entry, ensure_ascii=False))

    def save(self) -> Path:
        """Write new answers as another part file; returns the folder."""
        if self._unsaved:
            self._parts += 1
            part = self._folder / f"answers-{self._parts:05d}.jsonl"
            part.write_text("\n".join(self._unsaved) + "\n", "utf-8")
            self._unsaved.clear()
        return self._folder


def _key(written: list[Any]) -> Key:
    suite, row, side, asks = written
    return str(suite), str(row), int(side), str(asks)


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
