"""The text of a row, and the bytes that it is in the file."""

from modelmill_data_prep.domain.reading.file_form import CODECS, UTF8, UTF16
from modelmill_data_prep.domain.reading.utf16 import in_utf16


def in_utf8(raw: bytes, encoding: str) -> bytes | None:
    """A row of a block as UTF-8; None for what is no text in its encoding."""
    try:
        if encoding == UTF8 or encoding in UTF16:
            raw.decode("utf-8")
            return raw
        return raw.decode(CODECS[encoding]).encode("utf-8")
    except UnicodeDecodeError:
        return None


def in_file(raw: bytes, encoding: str) -> bytes:
    """The bytes of the file that a row of a block is made of."""
    return in_utf16(raw, encoding) if encoding in UTF16 else raw
