"""Converts rows between their encoding in the file and UTF-8."""

from modelmill_data_prep.domain.reading.file_form import CODECS, UTF8, UTF16
from modelmill_data_prep.domain.reading.utf16 import in_utf16


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
