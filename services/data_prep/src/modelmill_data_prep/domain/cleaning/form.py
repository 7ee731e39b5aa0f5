"""The written form of texts, as batches: line breaks and NFC, what cannot be seen, spaces.

One after the other they do what `text_form.normalise` does with one text.
"""

import re
import unicodedata
from collections.abc import Sequence

from modelmill_data_prep.domain.cleaning.batches import SEPARATOR, changed_where
from modelmill_data_prep.domain.text_form import (
    BLANKS,
    LINE_BREAK,
    MAY_BE_INVISIBLE,
    in_form,
    with_tidy_spaces,
    without_invisible,
)

_LINE_BREAKS = ("\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029")
_UNTIDY_BLANKS = re.compile(f"{BLANKS}(?:{BLANKS}|\n|\\Z)")


class UnicodeForm:
    """Unicode NFC, and every line break a line feed."""

    name = "unicode"
    version = 2

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text in its canonical form."""
        joined = SEPARATOR.join(texts)
        result = list(texts)
        # Looking for single characters costs a fraction of what a pattern costs.
        if any(mark in joined for mark in _LINE_BREAKS):
            result = [LINE_BREAK.sub("\n", text) for text in result]
        if not unicodedata.is_normalized("NFC", joined):
            result = [in_form("NFC", text) for text in result]
        return result


class Invisible:
    """No control, bidirectional and zero-width characters, unless a script or an emoji needs it."""

    name = "invisible"
    version = 2

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text without what a reader cannot see."""
        return changed_where(texts, MAY_BE_INVISIBLE, without_invisible)


class Spaces:
    """One space where several are inside a line; no blanks at line ends and around the text.

    Runs between Markdown's fences stay.
    """

    name = "spaces"
    version = 2

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text with tidy spaces; the indentation of a line stays."""
        stripped = [text.strip() for text in texts]
        return changed_where(stripped, _UNTIDY_BLANKS, with_tidy_spaces)
