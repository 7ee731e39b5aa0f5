"""Word documents by python-docx: body, tables, text boxes and notes, in reading order."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from lxml import etree

from modelmill_documents.document_blocks import DocumentBlock
from modelmill_documents.errors import (
    DamagedDocumentError,
    DocumentTooLargeError,
    EncryptedDocumentError,
    NoTextError,
)

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
MOST_HELD_BYTES = 512 * 1024**2
MOST_TEXT_PART_BYTES = 64 * 1024**2
MOST_ENTRIES = 10_000
MOST_EXPANSION, FREE_BYTES = 250, 16 * 1024**2
MOST_DEPTH = 64
"""Of tables and text boxes within each other."""
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How old Word files begin, and encrypted new ones."""
DAMAGED = "the file is no Word document (.docx), or a damaged one. Save it again with Word"


def read_docx(path: Path) -> Iterator[DocumentBlock]:
    """Paragraphs, headings and rows of tables; deleted text of tracked changes is left out.

    Raises:
        EncryptedDocumentError: It needs a password, or is of Word 97.
        DocumentTooLargeError: It unpacks to more than a limit.
        DamagedDocumentError: It is no Word document.
        NoTextError: It has no text.
    """
    _check(path)
    try:
        document: Any = docx.Document(str(path))
        levels = _heading_levels(document)
        bodies = [document.element.body, *_notes(document.part)]
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        raise DamagedDocumentError(DAMAGED) from error
    found = False
    for body in bodies:
        for block in _blocks(body, levels, 0):
            found = True
            yield block
    if not found:
        raise NoTextError("the document has no text, perhaps pictures alone. Leave it out")


def _check(path: Path) -> None:
    """Check sizes before anything is unpacked (ZIP bombs)."""
    with path.open("rb") as file:
        if file.read(len(OLE)) == OLE:
            raise EncryptedDocumentError(
                "the document is encrypted, or of Word 97 (.doc). Save it as .docx without a"
                " password"
            )
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DamagedDocumentError(DAMAGED) from error
    held = sum(entry.file_size for entry in entries)
    texts = max((entry.file_size for entry in entries if _is_text(entry.filename)), default=0)
    most = FREE_BYTES + MOST_EXPANSION * path.stat().st_size
    if len(entries) > MOST_ENTRIES or held > MOST_HELD_BYTES or held > most:
        raise DocumentTooLargeError(
            f"the document unpacks to {held} bytes in {len(entries)} parts, as a ZIP bomb does."
            " Save it again with Word"
        )
    if texts > MOST_TEXT_PART_BYTES:
        raise DocumentTooLargeError(
            f"the document has a text of more than {MOST_TEXT_PART_BYTES} bytes. Divide it"
        )


def _is_text(name: str) -> bool:
    return name.lower().endswith((".xml", ".rels"))


def _heading_levels(document: Any) -> dict[str, int]:
    """Level by id of a heading's style; that of a document's title is 1."""
    levels = {}
    for style in document.styles.element.iter(f"{W}style"):
        name = style.find(f"{W}name")
        words = (name.get(f"{W}val") or "").lower().split() if name is not None else []
        if words[:1] == ["heading"] and words[-1].isdigit():
            levels[style.get(f"{W}styleId") or ""] = min(max(int(words[-1][:3]), 1), 6)
        elif words == ["title"]:
            levels[style.get(f"{W}styleId") or ""] = 1
    return levels


def _notes(part: Any) -> Iterator[Any]:
    """Foot- and endnotes."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    for relation in part.rels.values():
        kinds = (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES)
        if relation.reltype in kinds and not relation.is_external:
            yield etree.fromstring(relation.target_part.blob, parser)


def _blocks(parent: Any, levels: dict[str, int], depth: int) -> Iterator[DocumentBlock]:
    if depth > MOST_DEPTH:
        return
    for child in parent:
        if child.tag == f"{W}p":
            text = _text(child)
            if text.strip():
                yield DocumentBlock(text.strip(), None, levels.get(_style(child), 0))
            for box in _boxes(child):
                yield from _blocks(box, levels, depth + 1)
        elif child.tag == f"{W}tbl":
            yield from _table_rows(child)
        elif child.tag not in (FALLBACK, f"{W}del", f"{W}moveFrom"):
            yield from _blocks(child, levels, depth + 1)


def _table_rows(table: Any) -> Iterator[DocumentBlock]:
    for row in table.iter(f"{W}tr"):
        cells = [
            " ".join(filter(None, (_text(each).strip() for each in _own(cell, f"{W}p"))))
            for cell in _own(row, f"{W}tc")
        ]
        if any(cells):
            yield DocumentBlock("\t".join(cells))


def _own(parent: Any, tag: str) -> Iterator[Any]:
    """Elements of a tag that belong to no inner table."""
    waiting = list(reversed(parent))
    while waiting:
        child = waiting.pop()
        if child.tag == tag:
            yield child
        elif child.tag != f"{W}tbl":
            waiting += reversed(child)


def _style(paragraph: Any) -> str:
    style = paragraph.find(f"{W}pPr/{W}pStyle")
    return (style.get(f"{W}val") or "") if style is not None else ""


def _text(paragraph: Any) -> str:
    """Its own text, without that of text boxes, which are blocks of their own."""
    parts: list[str] = []
    waiting = list(reversed(paragraph))
    while waiting:
        child = waiting.pop()
        if child.tag == f"{W}t":
            parts.append(child.text or "")
        elif child.tag == f"{W}tab":
            parts.append("\t")
        elif child.tag in (f"{W}br", f"{W}cr"):
            parts.append("\n")
        elif child.tag == f"{W}noBreakHyphen":
            parts.append("-")
        elif child.tag not in (
            FALLBACK,
            f"{W}txbxContent",
            f"{W}pPr",
            f"{W}del",
            f"{W}moveFrom",
        ):
            waiting += reversed(child)
    return "".join(parts)


def _boxes(paragraph: Any) -> Iterator[Any]:
    """Text boxes that are anchored to the paragraph."""
    waiting = list(reversed(paragraph))
    while waiting:
        child = waiting.pop()
        if child.tag == f"{W}txbxContent":
            yield child
        elif child.tag != FALLBACK:
            waiting += reversed(child)
