"""The first bytes of a file that should be text."""

from service_kit.errors import InvalidInputError

SNIFFED_BYTES = 4096
"""Later zero bytes cost their row, not the file."""

UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def check_text_opening(opening: bytes) -> None:
    """Refuse what is certainly no UTF-8 text.

    Raises:
        InvalidInputError: It begins as UTF-16 does, or has a zero byte near its beginning.
    """
    if opening.startswith(_UTF16_MARKS):
        raise InvalidInputError("the file is UTF-16 text; write it as UTF-8")
    if b"\0" in opening[:SNIFFED_BYTES]:
        raise InvalidInputError("the file is not UTF-8 text: it has zero bytes")
