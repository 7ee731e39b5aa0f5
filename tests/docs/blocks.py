"""Code blocks of READMEs and of `docs`: those that run, and why others do not."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CHINESE = DOCS / "zh"
EXAMPLES = ROOT / "examples"
RUN = ("sh", "python")
"""Languages of which a block is run."""
READ = ("yaml", "json")
"""Languages of which a block is held to what it is: a recipe or policy, a document."""
FENCE = re.compile(
    r"^(?P<indent> *)(?:<!-- not run: (?P<reason>[^>]+?) -->\n(?P=indent))?```(?P<language>\S*)\n"
    r"(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
MARKER = re.compile(r"<!-- not run\b")
INDENTED = re.compile(r"\n\n((?: {4,}\S.*\n)+)")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    """Path of its document in the repository."""
    line: int
    language: str
    code: str
    reason: str
    """Why it is not run; empty for one that is."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.page}:{self.line}"


def documents() -> list[Path]:
    """Documents whose blocks count, in the order in which they are run: the tutorial comes first.

    Those in Chinese are left out, for their blocks are those of the English ones.
    """
    first = [ROOT / "README.md", DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
    others = [file for file in sorted(DOCS.rglob("*.md")) if not file.is_relative_to(CHINESE)]
    return list(dict.fromkeys([*first, *others]))


def examples() -> list[Path]:
    """READMEs of the examples; `tests/examples` runs their blocks, where their models are."""
    return [EXAMPLES / "README.md", *sorted(EXAMPLES.glob("*/README.md"))]


def translations() -> dict[Path, Path]:
    """The English documents that are there in Chinese, too, and those."""
    english = [DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
    pairs = {file: CHINESE / file.relative_to(DOCS) for file in english}
    readmes = [ROOT / "README.md", *examples()]
    return {file: file.with_name("README.zh.md") for file in readmes} | pairs


def blocks_of(document: Path) -> list[Block]:
    """Its fenced blocks."""
    return list(_blocks(document))


def _blocks(document: Path) -> Iterator[Block]:
    text = document.read_text("utf-8")
    for found in FENCE.finditer(text):
        yield Block(
            page=document.relative_to(ROOT).as_posix(),
            line=text.count("\n", 0, found.start("code")),
            language=found["language"],
            code=found["code"],
            reason=(found["reason"] or "").strip(),
        )


def all_blocks() -> list[Block]:
    """Of all documents, and of the examples."""
    return [block for document in (*documents(), *examples()) for block in blocks_of(document)]
