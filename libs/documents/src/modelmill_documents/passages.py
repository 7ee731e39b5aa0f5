"""Passages: a document's text cut to a size, each with the place that it stands at."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from modelmill_documents.document_blocks import DocumentBlock
from modelmill_documents.scripts import count_tokens

BETWEEN_BLOCKS = "\n\n"
DEFAULT_TOKENS = 512
HEADING_AFTER = 0.25
"""A heading begins a new passage once the one before has this share of the size."""
MOST_CHARACTERS_A_TOKEN = 16
SECTION_CHARACTERS = 300
_SENTENCE = re.compile(r"[^.!?。！？；\n]*(?:[。！？；\n]+[”’」』）]*|[.!?]+(?=\s)|[.!?]+|\Z)\s*")


@dataclass(frozen=True)
class PassageSize:
    """At most so many tokens (a word, a Han character or a mark each) or characters."""

    tokens: int = DEFAULT_TOKENS
    characters: int = 0
    """Counts instead of tokens, unless it is 0."""

    @property
    def most(self) -> int:
        return self.characters or self.tokens

    @property
    def most_characters(self) -> int:
        """Also of a text that is one endless word."""
        return self.characters or self.tokens * MOST_CHARACTERS_A_TOKEN

    @property
    def count(self) -> Callable[[str], int]:
        """How texts are measured."""
        return len if self.characters else count_tokens


class Passage(NamedTuple):
    """A stretch of a document's text."""

    text: str
    page: int | None
    """Of its first character, from 1; None for formats without pages."""
    section: str
    """Headings above its first character, outer ones first."""
    offset: int
    """Of its first character in the document's text, its blocks joined by a blank line."""


class _Piece(NamedTuple):
    start: int
    end: int
    page: int | None
    section: str
    is_heading: bool
    size: int


def passages_of(blocks: Sequence[DocumentBlock], size: PassageSize) -> Iterator[Passage]:
    """Cut at headings and paragraphs, within long paragraphs at sentences, else anywhere."""
    text = BETWEEN_BLOCKS.join(block.text for block in blocks)
    waiting: list[_Piece] = []
    held = 0
    for piece in _pieces(blocks, size):
        begins = piece.is_heading and held >= HEADING_AFTER * size.most
        if waiting and (begins or _is_over(waiting, piece, held, size)):
            yield from _passage(text, waiting)
            waiting, held = [], 0
        waiting.append(piece)
        held += piece.size
    yield from _passage(text, waiting)


def _is_over(waiting: Sequence[_Piece], piece: _Piece, held: int, size: PassageSize) -> bool:
    too_many = not size.characters and held + piece.size > size.tokens
    return too_many or piece.end - waiting[0].start > size.most_characters


def _passage(text: str, pieces: Sequence[_Piece]) -> Iterator[Passage]:
    if not pieces:
        return
    first, last = pieces[0], pieces[-1]
    whole = text[first.start : last.end]
    start = first.start + len(whole) - len(whole.lstrip())
    if kept := whole.strip():
        # Under a heading of its own a passage is in that section.
        leading = pieces[: next((n for n, it in enumerate(pieces) if not it.is_heading), 0) + 1]
        yield Passage(kept, first.page, leading[-1].section, start)


def _pieces(blocks: Sequence[DocumentBlock], size: PassageSize) -> Iterator[_Piece]:
    place = 0
    titles: list[tuple[int, str]] = []
    for block in blocks:
        if block.level:
            titles = [it for it in titles if it[0] < block.level]
            # Cut here, for each block beneath has a text of all of them.
            titles.append((block.level, " ".join(block.text.split())[:SECTION_CHARACTERS]))
        section = " > ".join(title for _, title in titles)[:SECTION_CHARACTERS]
        for start, end in _cuts(block.text, size):
            measured = size.count(block.text[start:end])
            is_heading = bool(block.level) and start == 0
            yield _Piece(place + start, place + end, block.page, section, is_heading, measured)
        place += len(block.text) + len(BETWEEN_BLOCKS)


def _cuts(text: str, size: PassageSize) -> Iterator[tuple[int, int]]:
    """Stretches of a block, each within the size."""
    if len(text) <= size.most or _fits(text, size):
        yield 0, len(text)
        return
    place = 0
    for found in _SENTENCE.finditer(text):
        if found.end() == found.start():
            continue
        yield from _halves(text, found.start(), found.end(), size)
        place = found.end()
    if place < len(text):
        yield from _halves(text, place, len(text), size)


def _fits(text: str, size: PassageSize) -> bool:
    return len(text) <= size.most_characters and size.count(text) <= size.most


def _halves(text: str, start: int, end: int, size: PassageSize) -> Iterator[tuple[int, int]]:
    """Cut what is longer than the size in the middle, at a blank where there is one near."""
    waiting = [(start, end)]
    while waiting:
        start, end = waiting.pop()
        if end - start <= 1 or _fits(text[start:end], size):
            yield start, end
            continue
        middle = (start + end) // 2
        blank = text.rfind(" ", start + (end - start) // 4, middle)
        cut = blank + 1 if blank >= 0 else middle
        waiting += [(cut, end), (start, cut)]
