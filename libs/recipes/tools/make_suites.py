"""Draws the rows of the built-in evaluation suites.

    python libs/recipes/tools/make_suites.py NOUNS.jsonl REVIEWS.jsonl

NOUNS.jsonl has WordNet's nouns, {"word", "gloss", "label"}; those of the demo's dataset are left
out, so that a model of the demo was not trained on them. REVIEWS.jsonl has {"text", "label"}. The
same sources give the same bytes.
"""

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

Row = dict[str, str]
SUITES = Path("libs/recipes/src/modelmill_recipes/suites")
DEMO = Path("deploy/demo/wordnet_nouns.jsonl")
COUNT, SEED = 100, 23
CHOICES = 4
REVIEW_CHARACTERS = (8, 60)
HAS_NUMBER = re.compile(r"\d{3}|[A-Za-z@]{4}")
"""Reviews with what may be a number or a name are left out."""


def read(path: Path) -> list[Row]:
    """Rows of a file; lines that are none are left out."""
    rows = []
    for line in path.read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and all(isinstance(value, str) for value in row.values()):
            rows.append(row)
    return rows


def write(path: Path, rows: Iterable[object]) -> None:
    """JSON lines."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def of_one_sense(nouns: list[Row]) -> list[Row]:
    """Words that stand once, are not in the demo's dataset, and not in their own gloss."""
    demo = {row.get(column, "").lower() for row in read(DEMO) for column in ("word", "gloss")}
    times = Counter(row["word"].lower() for row in nouns)
    return [
        row
        for row in nouns
        if times[row["word"].lower()] == 1
        and not {row["word"].lower(), row["gloss"].lower()} & demo
        and row["word"].lower() not in row["gloss"].lower()
    ]


def word_row(row: Row, nouns: list[Row], drawn: random.Random) -> dict[str, object]:
    """A gloss and four words of the same kind, of which one has it."""
    others = [it["word"] for it in nouns if it["label"] == row["label"] and it is not row]
    words = [row["word"], *drawn.sample(others, CHOICES - 1)]
    drawn.shuffle(words)
    return {"gloss": row["gloss"], "words": words, "answer": words.index(row["word"])}


def is_short(row: Row) -> bool:
    """Whether a review is short, and has no numbers and names in Latin letters."""
    least, most = REVIEW_CHARACTERS
    return least <= len(row["text"]) <= most and not HAS_NUMBER.search(row["text"])


def main(nouns_file: str, reviews_file: str) -> None:
    drawn = random.Random(SEED)
    nouns = of_one_sense(read(Path(nouns_file)))
    kinds = drawn.sample(nouns, COUNT)
    write(SUITES / "wordnet/kinds.jsonl", kinds)
    asked = drawn.sample(nouns, COUNT)
    write(SUITES / "wordnet/words.jsonl", (word_row(row, nouns, drawn) for row in asked))
    texts = {row["text"].strip(): row["label"] for row in read(Path(reviews_file)) if is_short(row)}
    reviews = [{"text": text, "label": label} for text, label in texts.items()]
    rows = []
    for label in ("好评", "差评"):
        rows += drawn.sample([row for row in reviews if row["label"] == label], COUNT // 2)
    drawn.shuffle(rows)
    write(SUITES / "reviews_zh/reviews.jsonl", rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
