"""Evaluation items and suites of any source (dataset or task), and the rows that they are from."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildFailure

Turns = tuple[Mapping[str, Any], ...]
"""Messages in OpenAI's format."""
SCORE, WRITE = "score", "write"


@dataclass(frozen=True)
class Prompt:
    """Prompt of an item: chat messages, or raw text."""

    turns: Turns = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    text: str = ""

    @property
    def content(self) -> str:
        """Concatenated text, by which slices by length and script group rows."""
        return self.text or "\n".join(str(turn.get("content") or "") for turn in self.turns)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A prompt with its reference answer."""

    key: str
    """Row number, unique within the suite."""
    prompt: Prompt
    reference: str
    """Reference answer."""
    continuations: tuple[str, ...]
    """Texts whose likelihood after the prompt is scored: each choice, or only the reference."""
    choices: tuple[str, ...] = ()
    """Same length as `continuations`, or empty."""
    right: int | None = None
    """Index of the correct choice."""
    is_generative: bool = True
    """Whether an answer can be generated, and not only scored."""
    stops: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Columns that slices can group by."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Items whose metrics are computed together."""

    name: str
    items: tuple[Item, ...]
    measures: tuple[str, ...]
    shown: tuple[str, ...] = ()
    """Metrics that the report shows; empty for all."""
    max_new_tokens: int
    rows: int
    """Rows before sampling."""
    skipped: int = 0
    """Sampled rows that could not become items."""
    first_skipped: str = ""
    """Reason for the first skipped row."""


def count_rows(files: Sequence[Path]) -> int:
    """Non-empty lines."""
    return sum(1 for _ in _lines(files))


def drawn(count: int, most: int, seed: int) -> set[int]:
    """Sampled indices of at most `most` of `count` rows; deterministic."""
    if count <= most:
        return set(range(count))
    return set(random.Random(f"{seed}/{count}").sample(range(count), most))


def read_rows(files: Sequence[Path], places: set[int] | None = None) -> Iterator[tuple[int, Any]]:
    """Rows at the given indices (None for all) over all files, each with its index.

    Raises:
        ChildFailure: a line is not a JSON object; the message names it.
    """
    for place, (file, number, line) in enumerate(_lines(files)):
        if places is None or place in places:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise ChildFailure(
                    "BAD_ROWS",
                    f"line {number} of {file.name} is not a JSON object",
                    "Write one JSON object per line (JSONL).",
                )
            yield place, row


def _lines(files: Sequence[Path]) -> Iterator[tuple[Path, int, bytes]]:
    for file in files:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield file, number, line
