"""Draw the rows of the examples that are made of WordNet nouns and of Chinese reviews.

    python examples/make_rows.py NOUNS.jsonl REVIEWS.jsonl [--out examples] [--seed 7]

NOUNS.jsonl has one {"word", "gloss", "label"} a line, REVIEWS.jsonl one {"text", "label"}. No noun
is in two examples, and none is a row of `wordnet-kinds`. The same sources and seed give the same
bytes.
"""

import argparse
import json
import random
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

Row = dict[str, str]

HERE = Path(__file__).parent
PAIRS = DISTILLED = 900
ENTRIES = 600
LEAST_WITH_FIELD = 300
REVIEWS = 900
REVIEW_CHARACTERS = range(6, 41)
KINDS = (
    *("animal", "plant", "food", "substance", "artifact", "person", "location", "body"),
    *("event", "state", "communication", "act", "cognition", "phenomenon"),
)
"""Kinds of which there is a document; each is written in the next of the formats."""
OF_A_DOCUMENT = 120
FIELD = re.compile(r"\(([A-Za-z][A-Za-z ]+)\) (?=\S)")
NO_FIELD = ("usually", "often", "used", "plural", "formal", "informal", "archaic", "slang", "of ")
"""How remarks begin that name no field of knowledge."""


class Nouns:
    """Nouns of which each is drawn once."""

    def __init__(self, rows: Iterable[Row], taken: set[str], choice: random.Random) -> None:
        self._left = {row["word"]: row for row in rows if row["word"] not in taken}
        self._order = sorted(self._left)
        choice.shuffle(self._order)

    def draw(self, count: int, wanted: Callable[[Row], bool] = lambda _: True) -> list[Row]:
        """`count` nouns as they come; fewer where there are no more."""
        words = [it for it in self._order if it in self._left and wanted(self._left[it])]
        return [self._left.pop(word) for word in words[:count]]


def pairs(rows: Sequence[Row], choice: random.Random) -> Iterator[Row]:
    """Each with its kind, and another that is as frequent as it is among all."""
    labels = [row["label"] for row in rows]
    for row in rows:
        worse = choice.choice([it for it in labels if it != row["label"]])
        yield {"word": row["word"], "gloss": row["gloss"], "better": row["label"], "worse": worse}


def field_of(gloss: str) -> str:
    """The field of knowledge that a gloss begins with, as "(law) ..."; empty where none."""
    found = FIELD.match(gloss)
    return "" if found is None or found[1].startswith(NO_FIELD) else found[1]


def entries(rows: Sequence[Row]) -> Iterator[Row]:
    """Lines of a dictionary, each with what is in it."""
    for row in rows:
        held = {"word": row["word"], "kind": row["label"], "field": field_of(row["gloss"]) or None}
        yield {"entry": f"{row['word']}: {row['gloss']}", "json": json.dumps(held)}


def reviews(rows: Iterable[Row], choice: random.Random) -> list[Row]:
    """Short ones, as many good as bad, none of which has both labels."""
    labels: dict[str, set[str]] = {}
    for row in rows:
        if len(text := row["text"].strip()) in REVIEW_CHARACTERS:
            labels.setdefault(text, set()).add(row["label"])
    by_label: dict[str, list[str]] = {}
    for text, found in sorted(labels.items()):
        if len(found) == 1:
            by_label.setdefault(next(iter(found)), []).append(text)
    drawn = [
        {"text": text, "label": label}
        for label, texts in sorted(by_label.items())
        for text in choice.sample(texts, REVIEWS // len(by_label))
    ]
    choice.shuffle(drawn)
    return drawn


def paragraphs(rows: Sequence[Row]) -> Iterator[tuple[str, list[str]]]:
    """Headings by the first letter, each with what is explained below it."""
    by_letter: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: row["word"].casefold()):
        letter = row["word"][0].upper()
        said = f"{row['word'][0].upper()}{row['word'][1:]}: {row['gloss']}."
        by_letter.setdefault(letter, []).append(said)
    yield from sorted(by_letter.items())


def markdown(title: str, sections: Sequence[tuple[str, list[str]]]) -> bytes:
    """A document in Markdown."""
    parts = [f"# {title}"]
    for heading, texts in sections:
        parts += [f"## {heading}", *texts]
    return ("\n\n".join(parts) + "\n").encode()


def page(title: str, sections: Sequence[tuple[str, list[str]]]) -> bytes:
    """A document in HTML."""
    parts = [f"<h1>{escape(title)}</h1>"]
    for heading, texts in sections:
        parts += [f"<h2>{escape(heading)}</h2>", *(f"<p>{escape(text)}</p>" for text in texts)]
    head = f'<!doctype html>\n<html lang="en"><head><title>{escape(title)}</title></head>\n<body>\n'
    return (head + "\n".join(parts) + "\n</body></html>\n").encode()


def word_document(title: str, sections: Sequence[tuple[str, list[str]]], file: Path) -> None:
    """A document of Word, without the time at which it was written."""
    import docx

    document = docx.Document()
    document.add_heading(title, 0)
    for heading, texts in sections:
        document.add_heading(heading, 1)
        for text in texts:
            document.add_paragraph(text)
    document.save(str(file))
    with zipfile.ZipFile(file) as made:
        parts = {name: made.read(name) for name in made.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as again:
        for name, content in parts.items():
            # The template's picture of itself and its date.
            if name != "docProps/thumbnail.jpeg":
                again.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def write_documents(nouns: Nouns, folder: Path) -> None:
    """One of each kind, in Markdown, HTML and Word by turns."""
    folder.mkdir(exist_ok=True)
    for number, kind in enumerate(KINDS):
        rows = nouns.draw(OF_A_DOCUMENT, lambda row, kind=kind: row["label"] == kind)
        title, sections = f"Glossary: {kind}", list(paragraphs(rows))
        match number % 3:
            case 0:
                (folder / f"{kind}.markdown").write_bytes(markdown(title, sections))
            case 1:
                (folder / f"{kind}.html").write_bytes(page(title, sections))
            case _:
                word_document(title, sections, folder / f"{kind}.docx")


def read_rows(file: Path) -> list[Row]:
    """Rows that are JSON objects."""
    rows = []
    for line in file.read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # planted in the demo's file
        if isinstance(row, dict):
            rows.append(row)
    return rows


def write_rows(file: Path, rows: Iterable[Row]) -> None:
    """JSON lines."""
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write all files; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("nouns", type=Path, help="JSONL of word, gloss, label")
    parser.add_argument("reviews", type=Path, help="JSONL of text, label")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the examples")
    parser.add_argument("--seed", type=int, default=7, help="another one draws other rows")
    given = parser.parse_args(arguments)
    choice, out = random.Random(given.seed), given.out
    known = read_rows(HERE / "wordnet-kinds" / "wordnet_nouns.jsonl")
    taken = {row["word"] for row in known if isinstance(row.get("word"), str)}
    nouns = Nouns(read_rows(given.nouns), taken, choice)
    dictionary = nouns.draw(LEAST_WITH_FIELD, lambda row: bool(field_of(row["gloss"])))
    dictionary += nouns.draw(ENTRIES - len(dictionary))
    choice.shuffle(dictionary)
    write_rows(out / "extraction-json" / "entries.jsonl", entries(dictionary))
    write_rows(out / "preference" / "pairs.jsonl", pairs(nouns.draw(PAIRS), choice))
    write_rows(out / "distillation" / "words.jsonl", nouns.draw(DISTILLED))
    write_documents(nouns, out / "continued-pretraining" / "documents")
    rows = reviews(read_rows(given.reviews), choice)
    write_rows(out / "review-sentiment" / "reviews_zh.jsonl", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
