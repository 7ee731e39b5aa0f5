"""Blocks: parts of a source file that workers process independently."""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

RowForm = Literal["json", "csv", "text"]
"""Row syntax: JSON object, CSV record or plain document."""


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
