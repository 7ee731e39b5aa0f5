"""PDF by PDFium: lines of its pages, put together to paragraphs by where they stand."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw

from modelmill_documents.document_blocks import DocumentBlock
from modelmill_documents.errors import DamagedDocumentError, EncryptedDocumentError, NoTextError
from modelmill_documents.scripts import is_unspaced

MOST_PAGES = 20_000
HEADING_SIZE, LARGE_HEADING_SIZE = 1.15, 1.5
"""Times the size of the page's usual letters."""
HEADING_CHARACTERS = 200
PARAGRAPH_STEP = 1.9
"""Between the feet of two lines, in sizes of their letters; a paragraph begins where it is more."""
SIZE_TOLERANCE = 0.1
ENDS = (".", "!", "?", ":", ";", "。", "！", "？", "：", "；", "”", '"', "」", "…")
"""How the last line of a paragraph ends, if it ends on its page."""
PAGE_NUMBER = re.compile(
    r"\s*(?:page|p\.|第)?\W{0,3}\d{1,5}(?:\W{0,3}(?:of|/|共)?\W{0,3}\d{1,5})?\W{0,3}页?\s*\Z", re.I
)
SOFT_HYPHENS = ("\x02", "\xad", "\ufffe")


class _Line(NamedTuple):
    text: str
    size: float
    foot: float


def read_pdf(path: Path) -> Iterator[DocumentBlock]:
    """Paragraphs and headings of all pages.

    Raises:
        EncryptedDocumentError: It needs a password.
        DamagedDocumentError: PDFium cannot open it, or one of its pages.
        NoTextError: No page has text.
    """
    try:
        pdf = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "assword" in str(error):
            raise EncryptedDocumentError(
                "the PDF is encrypted. Save it without a password"
            ) from error
        raise DamagedDocumentError(
            "the file is no PDF, or a damaged one. Save it again from the program that made it"
        ) from error
    last: DocumentBlock | None = None
    for number in range(min(len(pdf), MOST_PAGES)):
        lines = _without_page_number(_lines(_text_page(pdf, number)))
        for place, block in enumerate(_blocks_of(lines, number + 1)):
            if last is not None and place == 0 and _goes_on(last, block):
                last = last._replace(text=joined([last.text, block.text]))
                continue
            if last is not None:
                yield last
            last = block
    if last is None:
        raise NoTextError(
            "the PDF has no text, perhaps scanned pages alone. Give it to a program for text"
            " recognition (OCR) first"
        )
    yield last


def _goes_on(block: DocumentBlock, following: DocumentBlock) -> bool:
    """Whether a paragraph goes on behind a page's end."""
    return not block.level and not following.level and not block.text.endswith(ENDS)


def _without_page_number(lines: list[_Line]) -> list[_Line]:
    """Lines without the highest and the lowest one, where these are numbers of a page."""
    if len(lines) < 2:
        return lines
    edges = {max(lines, key=_foot_of), min(lines, key=_foot_of)}
    return [line for line in lines if line not in edges or not PAGE_NUMBER.match(line.text)]


def _foot_of(line: _Line) -> float:
    return line.foot


def _text_page(pdf: Any, number: int) -> Any:
    try:
        return pdf[number].get_textpage()
    except pypdfium2.PdfiumError as error:
        raise DamagedDocumentError(
            f"page {number + 1} of the PDF is damaged. Save it again from the program that made it"
        ) from error


def _lines(page: Any) -> list[_Line]:
    lines, place = [], 0
    for text in page.get_text_range().split("\r\n"):
        if text.strip():
            lines.append(_Line(text, *_size_and_foot(page, place + len(text) - len(text.lstrip()))))
        place += len(text) + 2
    return lines


def _size_and_foot(page: Any, place: int) -> tuple[float, float]:
    """Font size and lower end of a character; zeros where PDFium does not know it."""
    try:
        foot = page.get_charbox(place, loose=True)[1]
        size = max(float(pypdfium2.raw.FPDFText_GetFontSize(page, place)), 0.0)
    except (pypdfium2.PdfiumError, ValueError, IndexError):
        return 0.0, 0.0
    return size, foot


def _blocks_of(lines: Sequence[_Line], page: int) -> Iterator[DocumentBlock]:
    if not lines:
        return
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[round(line.size, 1)] += len(line.text)
    usual = sizes.most_common(1)[0][0]
    waiting: list[_Line] = []
    for line in lines:
        if waiting and _begins(line, waiting[-1]):
            yield _block(waiting, page, usual)
            waiting = []
        waiting.append(line)
    yield _block(waiting, page, usual)


def _begins(line: _Line, before: _Line) -> bool:
    """Whether a paragraph begins with the line."""
    if not line.size or not before.size:
        return False
    step = before.foot - line.foot
    other_size = abs(line.size - before.size) > SIZE_TOLERANCE * before.size
    return other_size or step < -line.size or step > PARAGRAPH_STEP * line.size


def _block(lines: Sequence[_Line], page: int, usual: float) -> DocumentBlock:
    text = joined([line.text for line in lines])
    size = max(line.size for line in lines)
    level = 0
    if usual and size > HEADING_SIZE * usual and len(text) <= HEADING_CHARACTERS:
        level = 1 if size > LARGE_HEADING_SIZE * usual else 2
    return DocumentBlock(text, page, level)


def joined(lines: Sequence[str]) -> str:
    """Lines of one paragraph as running text; a word that was cut at a line's end is whole."""
    text = ""
    for line in lines:
        line = line.strip(" \t")
        if text.endswith(SOFT_HYPHENS):
            text = text[:-1] + line
        elif not text or (is_unspaced(text[-1]) and is_unspaced(line[0])):
            text += line
        else:
            text += " " + line
    for mark in SOFT_HYPHENS:
        text = text.replace(mark, "")
    return text.replace("\x00", "")
