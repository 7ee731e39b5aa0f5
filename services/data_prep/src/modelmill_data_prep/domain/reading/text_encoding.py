"""Text encodings of files: content sniffing of the first bytes, and lossless UTF-16 conversion.

Text is read as UTF-8, so that lines and quotes are found alike in every encoding.
"""

import codecs
from collections.abc import Callable
from unicodedata import category

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.reading.file_form import CODECS, UTF8, UTF16

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
    """Inverse of `Utf16Text`; drops an incomplete last character, for the text may be cut."""
    whole, _, odd = text.partition(_ODD)
    characters, _ = codecs.utf_8_decode(whole, _PASS, False)
    digits = odd[: len(odd) & ~1].decode("ascii", "ignore")
    return characters.encode(encoding, _PASS) + bytes.fromhex(digits)


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


def in_utf8(raw: bytes, encoding: str) -> bytes | None:
    """A block's row as UTF-8; None if it is invalid in its encoding."""
    try:
        if encoding == UTF8 or encoding in UTF16:
            raw.decode("utf-8")
            return raw
        return raw.decode(CODECS[encoding]).encode("utf-8")
    except UnicodeDecodeError:
        return None


def in_file(raw: bytes, encoding: str) -> bytes:
    """The original bytes of a block's row."""
    return in_utf16(raw, encoding) if encoding in UTF16 else raw


SNIFFED_BYTES = 4096
"""Size of the checked opening; later zero bytes only reject their row."""

UTF8_MARK = b"\xef\xbb\xbf"

_MAGIC = {
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "a ZIP archive",
    b"\x1f\x8b": "compressed by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard",
    **{b"BZh%d1AY&SY" % level: "compressed by bzip2" for level in range(1, 10)},
    b"\xfd7zXZ\x00": "compressed by xz",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"%PDF-": "a PDF document",
    b"\x7fELF": "a program",
    b"MZ\x90": "a program",
    b"\xca\xfe\xba\xbe": "a program",
    b"\xcf\xfa\xed\xfe": "a program",
    b"PAR1\x15": "a Parquet file",
    b"SQLite format 3": "a database",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}
"""Magic numbers of binary files that are uploaded under a text extension."""
_ARCHIVE_MARK_AT, _ARCHIVE_MARK = 257, b"ustar"


def check_text_opening(opening: bytes, encoding: str = "") -> None:
    """Reject content that is certainly not text.


    Args:
        encoding: Required encoding; empty for any.

    Raises:
        InvalidInputError: It has the magic number of a binary format, has zero bytes without being
            UTF-16, or is UTF-16 although another encoding is required.
    """
    for magic, kind in _MAGIC.items():
        if opening.startswith(magic):
            raise InvalidInputError(f"the file is not text: it is {kind}")
    if opening[_ARCHIVE_MARK_AT:].startswith(_ARCHIVE_MARK):
        raise InvalidInputError("the file is not text: it is a tar archive")
    if encoding in UTF16:
        return
    found = utf16_of(opening[:SNIFFED_BYTES])
    if encoding and found:
        raise InvalidInputError(f"the file is UTF-16 text, not {encoding}")
    if not found and b"\0" in opening[:SNIFFED_BYTES]:
        raise InvalidInputError("the file is not text: it has zero bytes")


def check_rows_opening(opening: bytes) -> None:
    """Reject content that certainly is not JSONL, such as HTML or CSV.

    One line that starts like an object suffices, as broken rows are rejected individually.


    Raises:
        InvalidInputError: No line of the opening starts with "{".
    """
    if encoding := utf16_of(opening):
        text = opening[: len(opening) & ~1].removeprefix(MARKS[encoding])
        opening = text.decode(encoding, "replace").encode("utf-8", "replace")
    lines = opening.removeprefix(UTF8_MARK).splitlines()
    written = [line.lstrip() for line in lines if line.strip()]
    if written and not any(line.startswith(b"{") for line in written):
        raise InvalidInputError("the file has no JSON rows: none of its first lines starts with {")
