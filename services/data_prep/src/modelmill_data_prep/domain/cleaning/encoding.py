"""Repairs mojibake: text that was decoded with the wrong encoding.

There are three cases. UTF-8 read as a one-byte encoding ("ä½\xa0å¥½", "cafÃ©") is repaired by ftfy.
GBK read as Latin-1 ("ÄãºÃ") and UTF-8 read as GBK ("浣犲ソ") are common in Chinese text and are
repaired here, run by run, if a run decodes completely to common Chinese. What went through a
replacement character ("锟斤拷") is lost, and becomes U+FFFD again, so that a filter can detect it.
"""

import re
import unicodedata
from collections.abc import Sequence

from ftfy import TextFixerConfig, fix_encoding
from ftfy.badness import MOJIBAKE_CATEGORIES as _MOJIBAKE

from modelmill_data_prep.domain.cleaning.stage import SEPARATOR, apply_where, until_stable
from modelmill_data_prep.domain.text_form import (
    BLANKS,
    LINE_BREAK,
    MAY_BE_INVISIBLE,
    in_form,
    with_tidy_spaces,
    without_invisible,
)

_ODD = "".join(
    _MOJIBAKE[name]
    for name in ("c1", "bad", "upper_accented", "lower_accented", "box", "currency", "numeric")
)
"""Every sequence that ftfy regards as mojibake has at least one of these characters."""

_NEIGHBOURS = _ODD + "".join(
    _MOJIBAKE[name]
    for name in (
        *("common", "law", "start_punctuation", "end_punctuation", "kaomoji"),
        *("upper_common", "lower_common"),
    )
)
_GBK_OF_UTF8 = "锛銆鐨鏄鍦浜涓鎴鍚鏈浠澶鍙瀛鍒涔缁鏃鍥寰璇绗鎬杩宸鏂闂鍏鑰鍔鍐闄浣鍜閮鍗"
"""First bytes of frequent Chinese characters and punctuation in UTF-8, read as GBK."""

_SUSPECT = re.compile(f"[{_ODD}œŒ√≈‚вβā{_GBK_OF_UTF8}锟]")
_ONE_BYTE_TABLE = re.compile(
    f"[{_ODD}√≈‚][{_NEIGHBOURS}√≈‚]|[{_NEIGHBOURS}][{_ODD}]|[\x80-\x9f]|[Œœ](?![A-Za-z])|[ÃÂ]"
    "|вЂ|β€|ā€|[ΒΓΞΟВГРС][\x80-\uffff]|‚[Ääâó]"
)
_LATIN_RUN = re.compile("[\xa1-\xfe]{4,}")
_HAN_RUN = re.compile("[\u00b7\u2014-\u2026\u20ac\u3000-\u9fff\ue000-\uf8ff\uff00-\uffef]{3,}")
_LOST = re.compile("(?:锟斤拷)+(?:锟斤?)?|锟斤$")
_FIXES = TextFixerConfig(replace_lossy_sequences=True)
_LEVEL_ONE = (b"\xb0\xa1", b"\xd7\xf9")
"""Range of GB 2312 level 1: the 3,755 common characters."""


class EncodingRepair:
    """Repairs mojibake where that is possible without loss."""

    name = "encoding"
    version = 1

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Repair texts; a clean text costs one search."""
        joined = SEPARATOR.join(texts)
        if joined.isascii() or not _SUSPECT.search(joined):
            return list(texts)
        return [
            until_stable(_repair, text) if not text.isascii() and _SUSPECT.search(text) else text
            for text in texts
        ]


def _repair(text: str) -> str:
    if _ONE_BYTE_TABLE.search(text):
        text = fix_encoding(_LATIN_RUN.sub(_from_latin_1, text), _FIXES)
    if "锟斤" in text:
        text = _LOST.sub("\ufffd", text)
    if any(mark in text for mark in _GBK_OF_UTF8):
        text = _HAN_RUN.sub(_from_gbk, text)
    return text


def _from_latin_1(run: re.Match[str]) -> str:
    """Repair GBK read as Latin-1, if all byte pairs are common characters or punctuation."""
    data = run.group().encode("latin-1")
    pairs = [data[place : place + 2] for place in range(0, len(data), 2)]
    han = sum(_LEVEL_ONE[0] <= pair <= _LEVEL_ONE[1] for pair in pairs)
    marks = sum(b"\xa1\xa2" <= pair <= b"\xa3\xfe" for pair in pairs)
    if len(data) % 2 or han < 2 or han + marks < len(pairs):
        return run.group()
    try:
        return data.decode("gb2312")
    except UnicodeDecodeError:
        return run.group()


def _from_gbk(run: re.Match[str]) -> str:
    """Repair UTF-8 read as GBK, from the first suspicious character to the end of the run."""
    text = run.group()
    first = next((place for place, one in enumerate(text) if one in _GBK_OF_UTF8), len(text))
    try:
        repaired = text[first:].encode("gbk").decode("utf-8")
    except UnicodeError:
        return text
    # Accepted if two thirds of the result are common characters.
    common = sum(map(_is_common, repaired))
    return text[:first] + repaired if 3 * common >= 2 * len(repaired) else text


def _is_common(character: str) -> bool:
    pair = character.encode("gb2312", errors="ignore")
    return len(pair) == 2 and (pair < b"\xa4" or _LEVEL_ONE[0] <= pair <= _LEVEL_ONE[1])


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
