"""The language of a text by its script, for the choice of a tokenizer."""

import re
from typing import Literal

Language = Literal["zh", "en", "other"]

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_LETTER = re.compile(r"[^\W\d_]")

HAN_SHARE_OF_CHINESE = 0.2
"""A Chinese sentence with English names in it is still Chinese: one Han character is a word."""


def language_of(text: str) -> Language:
    """zh when Han characters are a fifth of the letters, else en when half are Latin, else other.

    A text without letters is other.
    """
    letters = len(_LETTER.findall(text))
    if not letters:
        return "other"
    if len(_HAN.findall(text)) >= HAN_SHARE_OF_CHINESE * letters:
        return "zh"
    return "en" if 2 * len(_LATIN.findall(text)) >= letters else "other"
