"""Lossless conversion between UTF-16 and UTF-8, so that lines and quotes are found as in other
text."""

import codecs
from collections.abc import Callable
from unicodedata import category

from modelmill_data_prep.domain.reading.file_form import UTF16

MARKS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
_PASS = "surrogatepass"
_ODD = b"\xff"
"""A byte that never occurs in UTF-8; marks the hex digits of an odd last byte."""

_LEAST_ZEROS, _MOST_ODD = 1 / 16, 1 / 20


class Utf16Text:
    """Converts a stream from UTF-16 to UTF-8.

    Unpaired surrogates become invalid UTF-8, so that only their row is rejected and no byte is
    lost.
    """

    def __init__(self, encoding: str, read: Callable[[int], bytes]) -> None:
        self._encoding = encoding
        self._read = read
        self._rest = b""
        self._high = 1 if encoding == "utf-16-le" else 0

    def read(self, size: int) -> bytes:
        """About `size` more bytes; empty only at the end."""
        while chunk := self._read(max(size & ~1, 2)):
            data = self._rest + chunk
            whole = len(data) & ~1
            if whole and data[whole - 2 + self._high] & 0xFC == 0xD8:
                whole -= 2  # the low surrogate is in the next chunk
            self._rest = data[whole:]
            if whole:
                return self._in_utf8(data[:whole])
        data, self._rest = self._rest, b""
        whole = len(data) & ~1
        odd = _ODD + data[whole:].hex().encode() if data[whole:] else b""
        return self._in_utf8(data[:whole]) + odd

    def _in_utf8(self, data: bytes) -> bytes:
        return data.decode(self._encoding, _PASS).encode("utf-8", _PASS)


def in_utf16(text: bytes, encoding: str) -> bytes:
    """Inverse of `Utf16Text`; drops an incomplete last character."""
    whole, _, odd = text.partition(_ODD)
    characters, _ = codecs.utf_8_decode(whole, _PASS, False)
    return characters.encode(encoding, _PASS) + bytes.fromhex(odd.decode("ascii", "ignore"))


def utf16_of(opening: bytes) -> str:
    """Detect UTF-16 and its byte order from a file's opening; empty for other text.

    Without a byte order mark, the zero bytes of ASCII characters indicate the byte order.
    """
    for encoding, mark in MARKS.items():
        if opening.startswith(mark):
            return encoding
    whole = opening[: len(opening) & ~1]
    zeros = {"utf-16-le": whole[1::2].count(0), "utf-16-be": whole[::2].count(0)}
    encoding = max(UTF16, key=zeros.__getitem__)
    if not zeros[encoding] or zeros[encoding] < _LEAST_ZEROS * len(whole) / 2:
        return ""
    text = whole.decode(encoding, "replace")
    odd = sum(category(one) in ("Cc", "Cn", "Co", "Cs") for one in text if one not in "\t\n\r")
    return encoding if odd + text.count("\ufffd") <= _MOST_ODD * len(text) else ""
