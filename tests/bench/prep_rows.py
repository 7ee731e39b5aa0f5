"""Rows for prep.*, dedup.* and accuracy.*: of the folder that BENCH_DATA names, and more of them.

The folder has reviews_zh.jsonl ({"text", "label"}) and wordnet_nouns.jsonl ({"word", "gloss",
"label"}). Without it there are no reviews, and the nouns are the demo's.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.bench.rows_sample import Row, good_nouns

VARIABLE = "BENCH_DATA"
NEIGHBOUR = 7
"""How far apart the texts are that give a new one its halves, for each time that all were used."""


@dataclass(frozen=True)
class Kind:
    """One sort of rows."""

    name: str
    file: str
    long_column: str
    """The one that new rows are made by."""
    template: str
    """Of the user turn; for a rival, which has one text a row, that text."""

    def text(self, row: Mapping[str, str]) -> str:
        """What the rules of all sides look at."""
        return self.template.format_map(row)


REVIEWS = Kind("reviews", "reviews_zh.jsonl", "text", "{text}")
NOUNS = Kind("nouns", "wordnet_nouns.jsonl", "gloss", "{word}: {gloss}")


@dataclass(frozen=True)
class RowFile:
    """The same rows for us and for a rival."""

    path: Path
    rows: int
    size_bytes: int
    shards: Path
    """A folder of files of {"text", "label"}: rivals read a file with each process."""


def absence(kind: Kind) -> str | None:
    """Why there are no such rows; None when there are."""
    if kind is NOUNS or VARIABLE in os.environ:
        return None
    return f"not measured: {VARIABLE} names no folder with {kind.file}"


def origin() -> str:
    """Where the rows are from, for a note."""
    return f"files of {VARIABLE}" if VARIABLE in os.environ else "the demo's sample, grown"


def rows_of(kind: Kind, count: int, *, times: int = 1) -> Iterator[Row]:
    """`count` rows, and so many more that there are `times` as many, the same ones each time.

    Raises:
        OSError: BENCH_DATA has no such file.
    """
    if folder := os.environ.get(VARIABLE):
        with (Path(folder) / kind.file).open(encoding="utf-8") as lines:
            rows: list[Row] = list(map(json.loads, islice(lines, count)))
    else:
        rows = good_nouns()
    once = list(grown(rows, count, kind.long_column))
    return grown(once, count * times, kind.long_column)


def grown(rows: Sequence[Row], count: int, column: str) -> Iterator[Row]:
    """All rows as they are, then new ones of their halves, `count` in all.

    A new row has the first half of one text and the second of another, so it is as long and as
    natural as they are, and hardly ever says what another says: with only a word changed it would
    be a near duplicate, and ten times the rows would not be ten times the work. Rows whose texts
    are equal become new rows whose texts are equal, so the share of duplicates stays as it is.
    """
    texts = list(dict.fromkeys(row[column] for row in rows))
    places = {text: place for place, text in enumerate(texts)}
    for number in range(count):
        turn, place = divmod(number, len(rows))
        row = rows[place]
        if turn:
            text = row[column]
            other = texts[(places[text] + turn * NEIGHBOUR) % len(texts)]
            row = {**row, column: halves(text)[0] + halves(other)[1]}
        yield row


def halves(text: str) -> tuple[str, str]:
    """A text cut at the space after its middle, or in its middle where there is none near it."""
    middle = (len(text) + 1) // 2
    space = text.find(" ", middle, middle + 20)
    cut = middle if space < 0 else space
    return text[:cut], text[cut:]


def write_rows(kind: Kind, rows: Sequence[Row], folder: Path, *, shards: int) -> RowFile:
    """Write rows for us and for rivals into `folder`, which is made."""
    parts = folder / "shards"
    parts.mkdir(parents=True)
    path = folder / "rows.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    each = -(-len(rows) // shards)
    for number in range(shards):
        with (parts / f"part{number:03d}.jsonl").open("w", encoding="utf-8") as file:
            for row in rows[number * each : (number + 1) * each]:
                plain = {"text": kind.text(row), "label": row["label"]}
                file.write(json.dumps(plain, ensure_ascii=False) + "\n")
    return RowFile(path, len(rows), path.stat().st_size, parts)
