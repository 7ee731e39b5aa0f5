"""Rows of JSONL files, and the draw of some of them."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildFailure


def count_rows(files: Sequence[Path]) -> int:
    """Lines that say something."""
    return sum(1 for _ in _lines(files))


def drawn(count: int, most: int, seed: int) -> set[int]:
    """Places of `most` of `count` rows, or of all: the same for the same numbers."""
    if count <= most:
        return set(range(count))
    return set(random.Random(f"{seed}/{count}").sample(range(count), most))


def read_rows(files: Sequence[Path], places: set[int] | None = None) -> Iterator[tuple[int, Any]]:
    """The rows at these places of all files together, each with its place.

    Raises:
        ChildFailure: a line is no JSON object; names it.
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
                    f"line {number} of {file.name} is no JSON object",
                    "Data files of an evaluation are JSONL: one object a line.",
                )
            yield place, row


def _lines(files: Sequence[Path]) -> Iterator[tuple[Path, int, bytes]]:
    for file in files:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield file, number, line
