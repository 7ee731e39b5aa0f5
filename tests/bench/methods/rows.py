"""The rows of a task: drawn from its file by a seed, with a worse answer where one is wanted."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from tests.bench.methods.recipe import REJECTED, Task

Row = dict[str, Any]


def draw_rows(task: Task, file: Path, seed: int) -> list[Row]:
    """At most `task.rows` rows of the file, in its order.

    Raises:
        InvalidInputError: a row is no JSON object or lacks a column; a worse answer is wanted and
            all answers are the same.
    """
    lines = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    places = range(len(lines))
    if task.rows < len(lines):
        places = sorted(Random(seed).sample(places, task.rows))  # type: ignore[assignment]
    rows = [_row(lines[place], task.mapping.columns, f"{file}:{place + 1}") for place in places]
    return _with_worse_answers(task, rows, seed) if task.has_preferences else rows


def as_lines(rows: Sequence[Row]) -> bytes:
    """JSON lines, the same bytes for the same rows."""
    text = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    return text.encode()


def _row(line: str, columns: set[str], place: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InvalidInputError(f"{place}: no JSON: {error}") from error
    missing = columns - row.keys() if isinstance(row, dict) else columns
    if missing:
        raise InvalidInputError(f"{place}: has no column {', '.join(sorted(missing))}")
    return {name: row[name] for name in sorted(columns)}


def _with_worse_answers(task: Task, rows: Sequence[Row], seed: int) -> list[Row]:
    """Each row with one of the other answers.

    Drawn by what the row says, not by its place: rows that data-prep takes for equal stay equal, so
    that a dataset of pairs drops the same duplicates as one of conversations, and both have the
    same splits.
    """
    column = task.mapping.answer_column
    answers = sorted({str(row[column]) for row in rows})
    if len(answers) < 2:
        raise InvalidInputError(f"{task.name}: all answers are {answers}; no other can be worse")
    pairs = []
    for row in rows:
        others = [answer for answer in answers if answer != str(row[column])]
        said = hashlib.sha256(f"{seed}:{_folded(row)}".encode()).digest()
        pairs.append(row | {REJECTED: others[int.from_bytes(said[:8]) % len(others)]})
    return pairs


def _folded(row: Row) -> str:
    """Without what makes no difference to data-prep: case, width, white space."""
    columns = (unicodedata.normalize("NFKC", str(row[name])).casefold() for name in sorted(row))
    return json.dumps([" ".join(column.split()) for column in columns])
