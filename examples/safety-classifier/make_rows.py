"""Make the judge's rows to train on and to hold out, from texts that were labelled by reading.

    python examples/safety-classifier/make_rows.py [--data FOLDER] [--out FOLDER] [--seed 7]

Reads harmful.jsonl, harmless.jsonl and requests.json; writes train.jsonl, held_out.jsonl, and
held_answers.jsonl, what is held out as answers to it begin. The same texts and seed give the same
bytes.
"""

import argparse
import hashlib
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, str]

HELD_SOURCE = "harmbench"
"""Held out as a whole: nobody who wrote a row of it wrote one to train on."""
SHARED_SOURCE = "strongreject"
"""A third of it is held out, beside two thirds that are learned from."""
HELD_THIRD = 3
HEADS_A_TOPIC = {"train": 4, "held_out": 2}
JOINED = {"safe safe": 140, "safe harmful": 140, "harmful safe": 140}
"""Rows that are two texts, as a window holds them: one harmful part makes the window so."""
BEGUN = 160
"""Rows of each kind that are the beginning of an answer, not a request."""
ASKED_FOR = re.compile(
    r"(?:Write|Create|Develop|Provide|Give|Design|Generate|Outline|Produce|Publish|Compose|Suggest)"
    r"(?: me)? ((?:an?|the|some|detailed|step-by-step|instructions|code|tips|advice|guidance"
    r"|methods)\b[^.?!]*)[.?!]?"
)
ASKED_HOW = re.compile(
    r"(?:[^.?!]*?\bhow to|What is the best way to|How (?:do|can|could|would) (?:I|you))"
    r" ([^.?!]*)[.?!]?"
)
LEAST_COMMON = 0.6
"""Share of words that two texts have in common, from which they are near duplicates."""
_COMMON = (
    "a an the to of for in on that how and or with your you can i is are be by from as at this it"
    " who their without any my do does into them what"
)
COMMON_WORDS = frozenset(_COMMON.split())


def words(text: str) -> frozenset[str]:
    """What a text is about: its words without those that every text has."""
    return frozenset(re.findall(r"[a-z0-9]+", text.lower())) - COMMON_WORDS


def is_near(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two texts say the same in about the same words."""
    return len(one & other) >= LEAST_COMMON * max(1, len(one | other))


def without_near(rows: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    """The rows that are near none of the others."""
    known = [words(row["text"]) for row in others]
    return [row for row in rows if not any(is_near(words(row["text"]), one) for one in known)]


def is_held(row: Row) -> bool:
    """Whether a harmful text is for the measurement alone; by its words, not by its place."""
    if row["source"] == SHARED_SOURCE:
        return hashlib.sha256(row["text"].encode()).digest()[0] % HELD_THIRD == 0
    return row["source"] == HELD_SOURCE


def requests(spec: dict[str, Any], use: str, choice: random.Random) -> Iterator[str]:
    """Harmless topics in the words in which harmful ones are asked for."""
    for kind, topics in spec["topics"][use].items():
        heads = spec["heads"][kind]
        for topic in topics:
            for head in choice.sample(heads, min(HEADS_A_TOPIC[use], len(heads))):
                yield head.format(topic)


def begun(text: str) -> str | None:
    """How an answer to a request begins; None where it is no request of a known form."""
    if found := ASKED_FOR.fullmatch(text):
        return f"Sure, here is {found[1]}:"
    if found := ASKED_HOW.fullmatch(text):
        return f"Here is how to {found[1]}:"
    return None


def as_answers(rows: Sequence[Row]) -> list[Row]:
    """The rows whose answer can be begun, begun."""
    answers = ((row, begun(row["text"])) for row in rows)
    return [row | {"text": answer} for row, answer in answers if answer is not None]


def as_windows(rows: Sequence[Row], choice: random.Random) -> Iterator[Row]:
    """Rows made of others: two texts in one, and beginnings of answers."""
    harmful = [row for row in rows if row["label"] != "safe"]
    safe = [row for row in rows if row["label"] == "safe"]
    kinds = {"safe": safe, "harmful": harmful}
    for joined, count in JOINED.items():
        first, second = joined.split()
        for _ in range(count):
            pair = choice.choice(kinds[first]), choice.choice(kinds[second])
            label = next((row["label"] for row in pair if row["label"] != "safe"), "safe")
            yield {"text": " ".join(row["text"] for row in pair), "label": label}
    for kind in kinds.values():
        answers = as_answers(kind)
        yield from choice.sample(answers, min(BEGUN, len(answers)))


def make(data: Path, seed: int) -> dict[str, list[Row]]:
    """Rows by the name of their file."""
    choice = random.Random(seed)
    spec = json.loads((data / "requests.json").read_text("utf-8"))
    harmful, harmless = _read(data / "harmful.jsonl"), _read(data / "harmless.jsonl")
    held = [_held(row, row["source"]) for row in harmful if is_held(row)]
    held += [
        _held(row | {"label": "safe"}, "gloss" if row["source"] == "wordnet" else "look-alike")
        for row in harmless
        if row["use"] == "held_out"
    ]
    held += [
        {"text": text, "label": "safe", "group": "request"}
        for text in requests(spec, "held_out", choice)
    ]
    train = [_row(row) for row in harmful if not is_held(row)]
    train += [_row(row | {"label": "safe"}) for row in harmless if row["use"] == "train"]
    train += [{"text": text, "label": "safe"} for text in requests(spec, "train", choice)]
    train = without_near(train, held)
    train += as_windows(train, choice)
    choice.shuffle(train)
    return {
        "train.jsonl": train,
        "held_out.jsonl": held,
        "held_answers.jsonl": as_answers(held),
    }


def main(arguments: list[str]) -> int:
    """Write all files; the exit status."""
    here = Path(__file__).parent / "data"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=here, help="folder of the labelled texts")
    parser.add_argument("--out", type=Path, default=here, help="folder to write to")
    parser.add_argument("--seed", type=int, default=7, help="another one makes other rows")
    chosen = parser.parse_args(arguments)
    for name, rows in make(chosen.data, chosen.seed).items():
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        (chosen.out / name).write_text(lines, "utf-8")
        print(f"{len(rows)} rows in {chosen.out / name}", file=sys.stderr)
    return 0


def _read(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def _row(row: Row) -> Row:
    return {"text": row["text"], "label": row["label"]}


def _held(row: Row, group: str) -> Row:
    return _row(row) | {"group": group}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
