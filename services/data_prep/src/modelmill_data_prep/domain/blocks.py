"""Blocks of a source file, which workers process independently, and their parsed rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import msgspec
import pyarrow as pa

from modelmill_data_prep.domain.reading.faults import NOT_UTF8, Fault, not_in, not_text_at
from modelmill_data_prep.domain.reading.file_form import CODECS, UTF8

RowForm = Literal["json", "csv", "text", "passage"]
"""Row syntax: JSON object, CSV record, plain document, or passage of a document as JSON."""


@dataclass(frozen=True)
class Block:
    """Consecutive raw rows, bounded in number and bytes."""

    index: int
    """Index of the block in the file, from 0."""

    form: RowForm
    columns: tuple[str, ...]
    """Column names of CSV records; empty for other forms."""

    rows: pa.RecordBatch
    """Rows of schema `SOURCE_ROWS`."""

    bytes_read: int
    """Bytes of the stored file up to the end of this block, for progress."""

    encoding: str = "utf-8"
    """Encoding of the rows, a key of `file_form.CODECS`; UTF-16 rows are stored here as UTF-8."""

    delimiter: str = ","
    """Delimiter of CSV records."""


RAW_CHARACTERS = 2_000
"""Characters of a rejected row that go to the quarantine."""

RAW_BYTES = 4 * RAW_CHARACTERS
"""Bytes that certainly contain RAW_CHARACTERS characters."""


class SourceRow(msgspec.Struct, frozen=True, gc=False):
    """A parsed row, not yet validated."""

    line: int
    """First line of the row, from 1; the row number for formats without lines."""

    columns: Mapping[str, Any]
    """JSON value by column name."""

    raw: bytes
    """Bytes of the row in the file, without line end."""

    encoding: str = UTF8
    """Encoding of `raw`."""

    document: str | None = None
    """Of a passage: file, page, section and offset, as JSON; else None."""


class RejectedRow(msgspec.Struct, frozen=True, gc=False):
    """A row that cannot be mapped to a conversation."""

    line: int
    rule: str
    """For example "read.not_json"; contains no values, as it is counted."""

    reason: str
    """Human-readable; may name columns, limits and byte offsets, but no values."""

    raw: str
    """First `RAW_CHARACTERS` of the row; invalid bytes are replaced."""

    source: bytes
    """sha256 of the row's bytes, or of the kept beginning of a too long row."""


def rejected(line: int, fault: Fault, raw: bytes, encoding: str = UTF8) -> RejectedRow:
    """Create a rejected row from its bytes in the file."""
    text = (
        raw[:RAW_BYTES].decode(CODECS[encoding], errors="replace")[:RAW_CHARACTERS].rstrip("\r\n")
    )
    return RejectedRow(line, fault.rule, _reason(fault, raw, encoding), text, sha256(raw).digest())


def _reason(fault: Fault, raw: bytes, encoding: str) -> str:
    if fault in (NOT_UTF8, not_in(encoding)):
        try:
            raw.decode(CODECS[encoding])
        except UnicodeDecodeError as error:
            return not_text_at(fault, error.start)
    return fault.reason
