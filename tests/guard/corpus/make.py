"""Makes corpus.jsonl: `python -m tests.guard.corpus.make`. One seed always makes the same file."""

from collections.abc import Iterator
from random import Random

import yaml

from tests.guard.corpus.disguises import CLASSES, ONLY
from tests.guard.corpus.rows import FILE, FOLDER, Row, written
from tests.guard.corpus.words import CHINESE, ENGLISH, FORBIDDEN, FRAMES, HARMLESS, Word

SEED = 8
EVIL_PER_CLASS = 66
HARMLESS_PER_CLASS = 22
"""Of each class and language, as long as different texts can be made."""
MOST_TRIES = 40
BENIGN_FILE = FOLDER / "benign.yaml"


def corpus(seed: int = SEED) -> list[Row]:
    """All rows; no text comes twice."""
    rows: dict[str, Row] = {}
    for kind in CLASSES:
        for language in (ENGLISH, CHINESE):
            if ONLY.get(kind, language) != language:
                continue
            for words, count in ((FORBIDDEN, EVIL_PER_CLASS), (HARMLESS, HARMLESS_PER_CLASS)):
                random = Random(f"{seed} {kind} {language} {count}")
                chosen = [word for word in words if word.language == language]
                for row in _disguised(kind, chosen, count, random):
                    rows.setdefault(row.text, row)
    for kind, near in yaml.safe_load(BENIGN_FILE.read_text("utf-8")).items():
        for text in near["texts"]:
            rows.setdefault(text, Row(text, kind, near["language"], None, 0, 0, ""))
    return list(rows.values())


def _disguised(kind: str, words: list[Word], count: int, random: Random) -> Iterator[Row]:
    """Words by turns, in random sentences."""
    frames = FRAMES[words[0].language]
    for number in range(count):
        for attempt in range(MOST_TRIES):
            word = words[(number + attempt) % len(words)]
            disguised = CLASSES[kind](word, random)
            if disguised is not None:
                yield _placed(random.choice(frames), disguised, kind, word)
                break


def _placed(frame: str, disguised: str, kind: str, word: Word) -> Row:
    start = frame.index("{}")
    return Row(
        text=frame.replace("{}", disguised),
        kind=kind,
        language=word.language,
        rule=word.rule,
        start=start if word.rule else 0,
        end=start + len(disguised) if word.rule else 0,
        word=word.text if word.rule else "",
    )


if __name__ == "__main__":
    made = corpus()
    FILE.write_text(written(made), "utf-8")
    print(f"{len(made)} texts in {FILE.name}")
