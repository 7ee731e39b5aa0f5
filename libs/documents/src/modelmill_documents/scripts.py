"""Characters of scripts that put no spaces between words, and tokens as data-prep counts them."""

import re

UNSPACED = (
    "\u2e80-\u2fdf\u3000-\u30ff\u31c0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff00-\uffef\U00020000-\U0003ffff"
)
"""Han, kana, and their punctuation, as ranges of a character class."""
_UNSPACED = re.compile(f"[{UNSPACED}]")
_TOKEN = re.compile(f"[{UNSPACED}]|[^\\W{UNSPACED}]+|[^\\w\\s]")


def is_unspaced(character: str) -> bool:
    """Whether no space stands beside the character where a line breaks."""
    return _UNSPACED.match(character) is not None


def count_tokens(text: str) -> int:
    """A word, a Han character or a mark is a token."""
    return sum(1 for _ in _TOKEN.finditer(text))
