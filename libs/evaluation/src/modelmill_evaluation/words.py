"""Texts as words for overlap measures, in scripts with and without spaces."""

import re

_UNSPACED = (
    "\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U000323af"
    "\u0e00-\u0e7f"  # Thai
)
_WORD = re.compile(f"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\\W_])+")


def words_of(text: str) -> list[str]:
    """Runs of letters and digits in lower case; each character of a script without spaces.

    Punctuation and spaces count for nothing, as in ROUGE.
    """
    return _WORD.findall(text.lower())
