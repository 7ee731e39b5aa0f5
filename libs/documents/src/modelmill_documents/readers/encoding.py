"""Bytes of a page or a plain document as text."""

import re
from codecs import getincrementaldecoder

import charset_normalizer

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_DECLARED = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_DECLARED_WITHIN = 4096
_GUESSED_BYTES = 256 * 1024
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252", "big5": "cp950"}


def text_of(content: bytes, *, declares: bool = False) -> str:
    """Text by byte order mark, as UTF-8, by what a page declares, or by its language.

    Args:
        declares: Whether the format has a declaration, as pages have.
    """
    for mark, codec in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(codec, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    found = _DECLARED.search(content[:_DECLARED_WITHIN]) if declares else None
    if found:
        name = found[1].decode("ascii").lower()
        try:
            return content.decode(_SUPERSETS.get(name, name), "replace")
        except LookupError:
            pass
    return content.decode(_guessed(content), "replace")


def encoding_of(head: bytes) -> str:
    """Codec of a text, by its first bytes, as `text_of` finds it; skips marks at its beginning."""
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return "utf-8-sig" if codec == "utf-8" else "utf-16"
    try:
        getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return _guessed(head)
    return "utf-8"


def _guessed(content: bytes) -> str:
    guess = charset_normalizer.from_bytes(content[:_GUESSED_BYTES]).best()
    return _SUPERSETS.get(guess.encoding, guess.encoding) if guess else "utf-8"
