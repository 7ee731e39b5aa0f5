"""The first bytes of a file that should be text: typed by what they are, not by its name."""

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.reading.file_form import UTF16
from modelmill_data_prep.domain.reading.utf16 import MARKS, utf16_of

SNIFFED_BYTES = 4096
"""Later zero bytes cost their row, not the file."""

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
"""How files begin that are sent by mistake or malice under the name of text."""
_ARCHIVE_MARK_AT, _ARCHIVE_MARK = 257, b"ustar"


def check_text_opening(opening: bytes, encoding: str = "") -> None:
    """Refuse what is certainly no text.

    Args:
        encoding: What the text must be written in; empty for any.

    Raises:
        InvalidInputError: It begins as a file of another kind does, or has a zero byte near its
            beginning and is no UTF-16; or it is UTF-16, and must not be.
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
    """Refuse what certainly holds no rows of JSON: a page, a script, a table.

    A broken row costs that row alone, so one line that begins as an object does is enough.

    Raises:
        InvalidInputError: No line of the opening begins as an object does.
    """
    if encoding := utf16_of(opening):
        text = opening[: len(opening) & ~1].removeprefix(MARKS[encoding])
        opening = text.decode(encoding, "replace").encode("utf-8", "replace")
    lines = opening.removeprefix(UTF8_MARK).splitlines()
    written = [line.lstrip() for line in lines if line.strip()]
    if written and not any(line.startswith(b"{") for line in written):
        raise InvalidInputError(
            "the file holds no rows of JSON: none of its first lines begins with {"
        )
