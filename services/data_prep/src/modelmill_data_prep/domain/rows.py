"""What passes between reading and mapping: source rows, and rows that were refused."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from modelmill_data_prep.domain.reading.faults import NOT_UTF8, Fault, not_in, not_text_at
from modelmill_data_prep.domain.reading.file_form import CODECS, UTF8

RAW_CHARACTERS = 2_000
"""So much of a refused row goes into the quarantine."""

RAW_BYTES = 4 * RAW_CHARACTERS
"""Bytes of a row that surely hold as many characters."""


class SourceRow(msgspec.Struct, frozen=True, gc=False):
    """One row as read, before anything was checked."""

    line: int
    """Line of the file on which the row begins, from 1; without lines the row's number."""

    columns: Mapping[str, Any]
    """Column name to JSON value."""

    raw: bytes
    """The row's own bytes in the file, without its line end."""

    encoding: str = UTF8
    """Of the bytes."""


class RejectedRow(msgspec.Struct, frozen=True, gc=False):
    """A row that cannot become a conversation."""

    line: int
    rule: str
    """For example "read.not_json"; no values, to be counted."""

    reason: str
    """For people. Names columns, limits and where bytes are no text, but no values."""

    raw: str
    """The row as far as `RAW_CHARACTERS`; bytes that are no text are replaced."""

    source: bytes
    """sha256 of the row's bytes; of a row that is too long, of as much as was kept of it."""


def rejected(line: int, fault: Fault, raw: bytes, encoding: str = UTF8) -> RejectedRow:
    """The row, whose bytes in the file are `raw`, as one that goes no further."""
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
