"""Supported file formats by file name extension."""

from typing import Literal

RowFormat = Literal["jsonl", "csv", "parquet", "text", "xlsx"]
Compression = Literal["", "gz", "zst"]

FileFormat = Literal[
    "jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst", "text", "text.gz", "text.zst",
    "parquet", "xlsx",
]  # fmt: skip
"""Row format with optional compression."""

PLAIN_FORMATS: tuple[FileFormat, ...] = ("jsonl", "csv", "text")
"""Uncompressed text formats."""

_FORMAT_OF_ENDING: dict[str, FileFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".jsonl.gz": "jsonl.gz",
    ".ndjson.gz": "jsonl.gz",
    ".csv.gz": "csv.gz",
    ".tsv.gz": "csv.gz",
    ".txt.gz": "text.gz",
    ".jsonl.zst": "jsonl.zst",
    ".ndjson.zst": "jsonl.zst",
    ".csv.zst": "csv.zst",
    ".tsv.zst": "csv.zst",
    ".txt.zst": "text.zst",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}

ENDINGS = ".jsonl, .ndjson, .csv, .tsv, .txt (each also with .gz or .zst), .parquet or .xlsx"
"""Supported extensions, for error messages."""


def format_of(filename: str) -> FileFormat | None:
    """Format by extension, case-insensitive; None if unsupported."""
    name = filename.lower()
    fits = [ending for ending in _FORMAT_OF_ENDING if name.endswith(ending)]
    return _FORMAT_OF_ENDING[max(fits, key=len)] if fits else None


def row_format_of(file_format: FileFormat) -> RowFormat:
    """Row format of a file format."""
    rows: RowFormat = file_format.partition(".")[0]  # type: ignore[assignment]
    return rows


def compression_of(file_format: FileFormat) -> Compression:
    """Compression of a file format; empty for none."""
    compression: Compression = file_format.partition(".")[2]  # type: ignore[assignment]
    return compression
