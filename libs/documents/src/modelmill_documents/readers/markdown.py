"""Markdown (CommonMark and tables) by markdown-it: text without its marks, block by block."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from modelmill_documents.document_blocks import DocumentBlock
from modelmill_documents.errors import DamagedDocumentError, NoTextError
from modelmill_documents.readers.encoding import text_of
from modelmill_documents.readers.html import blocks_of_html

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.{0,65536}?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


def read_markdown(path: Path) -> Iterator[DocumentBlock]:
    """Paragraphs, headings, rows of tables and blocks of code.

    Raises:
        DamagedDocumentError: Its bytes are no text.
        NoTextError: It has no text.
    """
    text = text_of(path.read_bytes()).replace("\r\n", "\n")
    if "\x00" in text[:4096]:
        raise DamagedDocumentError("the file is no text of Markdown. Save it as UTF-8")
    found = False
    for block in _blocks(MarkdownIt("commonmark").enable("table").parse(_body(text))):
        found = True
        yield block
    if not found:
        raise NoTextError("the document has no text. Leave it out")


def _body(text: str) -> str:
    return _FRONT_MATTER.sub("", text, count=1)


def _blocks(tokens: Sequence[Token]) -> Iterator[DocumentBlock]:
    level = 0
    cells: list[str] | None = None
    for token in tokens:
        if token.type == "heading_open":
            level = int(token.tag[1])
        elif token.type == "heading_close":
            level = 0
        elif token.type == "tr_open":
            cells = []
        elif token.type == "tr_close" and cells is not None:
            yield from _block("\t".join(cells), 0)
            cells = None
        elif token.type == "inline":
            text = _inline(token.children or ())
            if cells is None:
                yield from _block(text, level)
            else:
                cells.append(text)
        elif token.type in ("fence", "code_block"):
            yield from _block(token.content.rstrip("\n"), 0)
        elif token.type == "html_block":
            yield from blocks_of_html(token.content)


def _block(text: str, level: int) -> Iterator[DocumentBlock]:
    if text.strip():
        yield DocumentBlock(text, None, level)


def _inline(tokens: Sequence[Token]) -> str:
    parts = []
    for token in tokens:
        if token.type in ("text", "code_inline", "image"):
            parts.append(token.content)
        elif token.type in ("softbreak", "hardbreak"):
            parts.append("\n")
    return "".join(parts)
