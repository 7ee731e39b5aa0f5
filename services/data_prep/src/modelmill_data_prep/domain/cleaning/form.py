"""Text normalisation for batches: Unicode form, invisible characters, spaces.

In sequence these transforms equal `text_form.normalise`.
"""

import re
import unicodedata
from collections.abc import Sequence

from modelmill_data_prep.domain.cleaning.batches import SEPARATOR, apply_where
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
    """Converts to Unicode NFC, and line breaks to line feeds."""

    name = "unicode"
    version = 2

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text in its canonical form."""
        joined = SEPARATOR.join(texts)
        result = list(texts)
        # Searching single characters is much faster than a regular expression.
        if any(mark in joined for mark in _LINE_BREAKS):
            result = [LINE_BREAK.sub("\n", text) for text in result]
        if not unicodedata.is_normalized("NFC", joined):
            result = [in_form("NFC", text) for text in result]
        return result


class Invisible:
    """Removes control, bidirectional and zero-width characters, except where a script or emoji
    needs them."""

    name = "invisible"
    version = 2

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Remove invisible characters."""
        return apply_where(texts, MAY_BE_INVISIBLE, without_invisible)


class Spaces:
    """Collapses runs of spaces and trims lines; fenced Markdown code stays."""

    name = "spaces"
    version = 2

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Normalise spaces; indentation stays."""
        stripped = [text.strip() for text in texts]
        return apply_where(stripped, _UNTIDY_BLANKS, with_tidy_spaces)
