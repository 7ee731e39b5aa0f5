"""Draw the demo's rows from WordNet nouns and plant what a real file has: bad rows and repeats.

    python examples/wordnet-kinds/make_rows.py NOUNS.jsonl OUT.jsonl [--rows 1320] [--seed 7]

NOUNS.jsonl has one {"word", "gloss", "label"} a line, the label one of WordNet's noun categories.
The same source, count and seed give the same bytes.
"""

import argparse
import json
import random
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

Row = dict[str, str]

LEAST_OF_A_LABEL = 15
"""Rows of the rarest labels, where the source has so many."""

BAD_LINES = (
    '{"word": "zebra", "gloss": "striped African equine", "label": "animal"',
    '{"word": "zinc", "gloss": "a bluish-white metallic element", "label": "substance",}',
    "teapot; pot for brewing tea; artifact",
    '["mayor", "the head of a city government", "person"]',
    '"a row that is only a text"',
    '{"word": "harvest", "gloss": "the gathering of a ripened crop"}',
    '{"word": "meadow", "label": "location"}',
    '{"gloss": "a musical composition for one voice", "label": "communication"}',
    '{"word": "lantern", "gloss": "", "label": "artifact"}',
    '{"word": "pebble", "gloss": " \\u3000\\t", "label": "object"}',
    '{"word": "sorrow", "gloss": null, "label": "feeling"}',
    '{"word": "triangle", "gloss": ["a figure", "with three sides"], "label": "shape"}',
)
"""Not JSON (3), not an object (2), a missing column (3), an empty text (2), a wrong type (2)."""


def same(text: str) -> str:
    """An exact repeat."""
    return text


def wide(text: str) -> str:
    """Full-width letters and digits, as East Asian keyboards type them."""
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in text)


def spaced(text: str) -> str:
    """Two spaces for each, and some around."""
    return "  " + text.replace(" ", "  ") + "\t "


def ligatures(text: str) -> str:
    """Another Unicode form of the same letters."""
    return text.replace("fi", "\ufb01").replace("fl", "\ufb02")


REPEATS: tuple[tuple[Callable[[str], str], int], ...] = (
    (same, 10),
    (spaced, 7),
    (str.upper, 6),
    (wide, 4),
    (ligatures, 3),
)
"""How a repeat differs from its original, and how many there are: 30 in all."""


def draw(rows: list[Row], count: int, choice: random.Random) -> list[Row]:
    """`count` rows with labels about in the source's proportions, no text twice, shuffled.

    A text that the source gives two labels is left out: nobody could learn it.
    """
    labels_of: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        labels_of[_key(row)].add(row["label"])
    by_label: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if len(labels_of[_key(row)]) == 1:
            by_label[row["label"]].setdefault(_key(row), row)
    quotas = label_quotas({label: len(found) for label, found in by_label.items()}, count)
    drawn = [
        row
        for label, quota in sorted(quotas.items())
        for row in choice.sample(list(by_label[label].values()), quota)
    ]
    choice.shuffle(drawn)
    return drawn


def label_quotas(available: Mapping[str, int], count: int) -> dict[str, int]:
    """How many rows of each label: the least that each gets, then in proportion.

    Raises:
        ValueError: There are not `count` rows, or `count` cannot hold the least of each label.
    """
    quotas = {label: min(LEAST_OF_A_LABEL, rows) for label, rows in available.items()}
    if not sum(quotas.values()) <= count <= sum(available.values()):
        raise ValueError(f"cannot draw {count} rows of {sum(available.values())}")
    while sum(quotas.values()) < count:
        open_labels = [label for label in quotas if quotas[label] < available[label]]
        # The label that is furthest behind its share, by the source's order of magnitude.
        behind = min(open_labels, key=lambda label: (quotas[label] / available[label], label))
        quotas[behind] += 1
    return quotas


def plant(drawn: list[Row], choice: random.Random) -> list[str]:
    """The lines of the file: the rows, repeats behind their originals, bad lines among them."""
    lines = [_line(row) for row in drawn]
    with_ligature = [n for n, row in enumerate(drawn) if ligatures(row["gloss"]) != row["gloss"]]
    taken: set[int] = set()
    planted: list[tuple[int, str]] = []
    for change, count in REPEATS:
        candidates = with_ligature if change is ligatures else range(len(drawn))
        for number in choice.sample([n for n in candidates if n not in taken], count):
            taken.add(number)
            repeat = {
                "word": change(drawn[number]["word"]),
                "gloss": change(drawn[number]["gloss"]),
                "label": drawn[number]["label"],
            }
            planted.append((choice.randint(number + 1, len(drawn)), _line(repeat)))
    planted += [(choice.randint(0, len(drawn)), line) for line in BAD_LINES]
    # From the end, so that the places before stay what they were.
    for place, line in sorted(planted, key=lambda item: item[0], reverse=True):
        lines.insert(place, line)
    return lines


def main(arguments: list[str]) -> int:
    """Write the sample; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path, help="JSONL of word, gloss, label")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--rows", type=int, default=1320, help="rows before the planted ones")
    parser.add_argument("--seed", type=int, default=7, help="another one draws other rows")
    chosen = parser.parse_args(arguments)
    with chosen.source.open(encoding="utf-8") as source:
        rows = [json.loads(line) for line in source]
    choice = random.Random(chosen.seed)
    lines = plant(draw(rows, chosen.rows, choice), choice)
    chosen.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{len(lines)} lines in {chosen.out}", file=sys.stderr)
    return 0


def _key(row: Row) -> str:
    """Equal for rows that a reader takes for the same question."""
    text = f"{row['word']}: {row['gloss']}"
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
