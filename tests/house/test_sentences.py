"""A sentence of a document has at most 30 words."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(ROOT.glob("libs/*/README.md")),
    *sorted(ROOT.glob("services/*/README.md")),
    *(
        file
        for folder in ("deploy", "docs", "examples", "tests")
        for file in sorted((ROOT / folder).rglob("*.md"))
        # What `python -m tests.bench.methods` writes, and packages of others.
        if file.name != "methods.md" and "node_modules" not in file.parts
    ),
]
MAX_WORDS = 30
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4,}.*\n)+")
BLOCK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|\n(?=[#|])|(?<=\S) \| ")
MARK = re.compile(r"^\s*(?:[-*]|\d+\.) (?:\d{4}-\d\d-\d\d: )?")
"""Of a list item, and the date of a decision."""
END = re.compile(r"(?<=[.!?])[*)\"]*\s+")


def sentences(text: str) -> Iterator[str]:
    """Those of paragraphs, list items and cells of tables; a code span is one word."""
    prose = INDENTED.sub("", FENCED.sub("", text))
    prose = re.sub(r"`[^`]*`", "`code`", prose)
    prose = re.sub(r"\]\([^)]*\)", "]", prose)
    for block in BLOCK.split(prose):
        yield from END.split(" ".join(MARK.sub("", block).split()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_sentence_has_at_most_30_words(document: Path):
    text = document.read_text("utf-8")
    assert [it for it in sentences(text) if len(it.split()) > MAX_WORDS] == []
