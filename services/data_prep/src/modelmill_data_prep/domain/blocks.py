"""A piece of a source file that one worker can read by itself."""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

RowForm = Literal["json", "csv", "text"]
"""How the bytes of a row are to be parsed: a JSON object, a CSV record, a document."""


@dataclass(frozen=True)
class Block:
    """Some consecutive rows, bounded in number and bytes."""

    index: int
    """Place among the blocks of the file, from 0."""

    form: RowForm
    columns: tuple[str, ...]
    """Names of the columns of a CSV record; empty for other forms."""

    rows: pa.RecordBatch
    """Of `SOURCE_ROWS`."""

    bytes_read: int
    """Of the file as it is stored, up to the end of this block: how far the reading is."""

    encoding: str = "utf-8"
    """Of the rows' bytes, by its name in `file_form.CODECS`; rows of UTF-16 stand here as UTF-8."""

    delimiter: str = ","
    """Of a CSV record."""
