"""Files of rows for data_prep.rows: the demo's nouns over and over, told apart by a number."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

NOUNS = Path("examples/wordnet-kinds/wordnet_nouns.jsonl")
COLUMNS = ("word", "gloss", "label")
REPEAT_EVERY = 50
"""One row in so many says the same as the one before it, and is to be dropped."""

Row = dict[str, str]


def good_nouns() -> list[Row]:
    """The demo's rows without those that were spoilt on purpose."""
    rows = []
    for line in NOUNS.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and all(
            isinstance(row.get(name), str) and row[name].strip() for name in COLUMNS
        ):
            rows.append({name: row[name] for name in COLUMNS})
    return rows


def sample_rows(count: int) -> Iterator[Row]:
    """`count` rows, the same ones each time."""
    nouns = good_nouns()
    for number in range(count):
        source = number - 1 if number % REPEAT_EVERY == REPEAT_EVERY - 1 else number
        noun = nouns[source % len(nouns)]
        yield {**noun, "word": f"{noun['word']} {source // len(nouns)}"}


def write_jsonl(path: Path, count: int) -> None:
    """One object a line."""
    with path.open("w", encoding="utf-8") as file:
        for row in sample_rows(count):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_csv(path: Path, count: int) -> None:
    """A header and one record a row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(sample_rows(count))
