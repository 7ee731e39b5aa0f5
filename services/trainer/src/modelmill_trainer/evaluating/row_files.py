"""Reads and samples rows of JSONL files."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildFailure


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
