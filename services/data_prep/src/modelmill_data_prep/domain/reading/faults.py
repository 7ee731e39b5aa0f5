"""Limits of memory and size for reading files, and faults of rows.

A fault has a rule for counting, and a reason for people.
"""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class ReadLimits:
    """Reading limits; the defaults suit a service."""

    max_row_bytes: int = 1024**2
    """Longer rows are quarantined."""

    max_document_bytes: int = 32 * 1024
    """Longer paragraphs of plain text become several documents, cut at line ends."""

    max_content_bytes: int = 16 * 1024**3
    """Maximum decompressed size."""

    max_expansion: int = 250
    """Maximum compression ratio."""

    memory_bytes: int = 4 * 1024**3
    """Memory that a library may add while it reads a block of Parquet or Excel."""

    chunk_bytes: int = 1024**2
    """Read size; it does not affect results."""

    block_rows: int = 2_000
    """Maximum rows per block; its size is about `chunk_bytes`."""


class Fault(NamedTuple):
    rule: str
    """Stage and rule, for example "read.not_json"; no row content."""

    reason: str
    """Human-readable; may name columns and limits, but no values."""

    @property
    def written(self) -> str:
        """Serialised form in a block."""
        return f"{self.rule}: {self.reason}"

    @classmethod
    def of(cls, written: str) -> "Fault":
        """Parse `written`."""
        rule, _, reason = written.partition(": ")
        return cls(rule, reason)


NOT_UTF8 = Fault("read.not_utf8", "not UTF-8")
NOT_JSON = Fault("read.not_json", "not JSON")
NOT_AN_OBJECT = Fault("read.not_an_object", "not a JSON object")
TOO_DEEP = Fault("read.nested_too_deeply", "nested too deeply")
MALFORMED_CSV = Fault("read.malformed_csv", "malformed CSV")
UNCLOSED_QUOTE = Fault("read.unclosed_quote", "a quote that is never closed")
MORE_FIELDS = Fault("read.more_fields", "more fields than the header")
FEWER_FIELDS = Fault("read.fewer_fields", "fewer fields than the header")
NO_JSON_VALUE = Fault("read.no_json_value", "a value that JSON has no form for")


def not_in(encoding: str) -> Fault:
    """Fault of a row with bytes that are invalid in the file's encoding."""
    return NOT_UTF8 if encoding == "utf-8" else Fault("read.not_in_encoding", f"not {encoding}")


_AT = ", from byte offset "
"""Separates the byte offset, the only value that a reason contains."""


def not_text_at(fault: Fault, offset: int) -> str:
    """Reason with the offset of the first undecodable byte of the row."""
    return f"{fault.reason}{_AT}{offset} of the row"


def counted(reason: str) -> str:
    """The reason without its offset, for counting."""
    return reason.partition(_AT)[0]


def too_long(max_row_bytes: int) -> Fault:
    """Fault of a row above the size limit."""
    return Fault("read.too_long", f"longer than {max_row_bytes} bytes")
