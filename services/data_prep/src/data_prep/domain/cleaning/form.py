"""The written form of texts, as batches: line breaks and NFC, what cannot be seen, spaces.

One after the other they do what `text_form.normalise` does with one text.
"""

import re
import unicodedata
from collections.abc import Sequence

from data_prep.domain.cleaning.batches import SEPARATOR, changed_where
from data_prep.domain.text_form import (
    BLANK_RUN,
    BLANKS,
    INVISIBLE,
    LINE_BREAK,
    LINE_END_BLANKS,
    STRAY_JOINER,
)

_LINE_BREAKS = ("\r", "\x85", "\u2028", "\u2029")
_INVISIBLE_OR_JOINER = re.compile(INVISIBLE.pattern[:-1] + "\u200c\u200d]")
_UNTIDY_BLANKS = re.compile(f"{BLANKS}(?:{BLANKS}|\n|\\Z)")


class UnicodeForm:
    """Unicode NFC, and every line break a line feed."""

    name = "unicode"
    version = 1

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text in its canonical form."""
        joined = SEPARATOR.join(texts)
        result = list(texts)
        # Looking for single characters costs a fraction of what a pattern costs.
        if any(mark in joined for mark in _LINE_BREAKS):
            result = [LINE_BREAK.sub("\n", text) for text in result]
        if not unicodedata.is_normalized("NFC", joined):
            result = [unicodedata.normalize("NFC", text) for text in result]
        return result


class Invisible:
    """No control, bidirectional and zero-width characters, unless a script or an emoji needs it."""

    name = "invisible"
    version = 1

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text without what a reader cannot see."""
        return changed_where(texts, _INVISIBLE_OR_JOINER, _without_invisible)


class Spaces:
    """One space where several are inside a line; no blanks at line ends and around the text."""

    name = "spaces"
    version = 1

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text with tidy spaces; the indentation of a line stays."""
        stripped = [text.strip() for text in texts]
        return changed_where(stripped, _UNTIDY_BLANKS, _tidy_spaces)


def _without_invisible(text: str) -> str:
    seen = INVISIBLE.sub("", text)
    if seen != text:
        seen = unicodedata.normalize("NFC", seen)
    # Without a joiner marks may change places, and another joiner its neighbour. Each round takes
    # a joiner away, so there is a last one.
    while (joined := STRAY_JOINER.sub("", seen)) != seen:
        seen = unicodedata.normalize("NFC", joined)
    return seen


def _tidy_spaces(text: str) -> str:
    return LINE_END_BLANKS.sub("", BLANK_RUN.sub(" ", text)).strip()
