"""Append-only store of model answers, which a resumed evaluation reads instead of asking again.

Part files are written once, so that consecutive checkpoints share their content.
"""

import json
from pathlib import Path
from typing import Any

Key = tuple[str, str, int, str]
"""Suite, row, side (model) and request kind."""


class AnswerStore:
    """The answers of one evaluation.

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
