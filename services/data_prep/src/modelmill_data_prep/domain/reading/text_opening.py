"""Content sniffing: checks that the first bytes of a file are text."""

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.reading.file_form import UTF16
from modelmill_data_prep.domain.reading.utf16 import MARKS, utf16_of

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
