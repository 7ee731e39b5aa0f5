"""Rows out of a file. Nothing that stands in a row ends the reading of the rest."""

from collections.abc import Callable, Iterator
from typing import Literal

from data_prep.domain.lines import LineReader
from data_prep.domain.read_csv import read_csv
from data_prep.domain.read_jsonl import read_jsonl
from data_prep.domain.rows import RejectedRow, SourceRow

FileFormat = Literal["jsonl", "csv"]

READERS: dict[FileFormat, Callable[[LineReader], Iterator[SourceRow | RejectedRow]]] = {
    "jsonl": read_jsonl,
    "csv": read_csv,
}


def format_of(filename: str) -> FileFormat | None:
    """The format by the ending of the name, in any case; None for another ending."""
    for file_format in READERS:
        if filename.lower().endswith(f".{file_format}"):
            return file_format
    return None
