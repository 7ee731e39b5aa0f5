"""Rows as they are shown to callers: read from a dataset's files, as many as fit in one message."""

from collections.abc import Iterable
from pathlib import Path

from modelmill_data_prep.domain.lineage.row_provenance import KeptRow

SHOWN_BYTES = 2 * 1024 * 1024
"""Limit of returned rows, which must fit into one gRPC message."""


def read_row(folder: Path, row: KeptRow) -> str:
    """A row of the dataset in this folder, as JSON."""
    with (folder / f"{row.split}.jsonl").open("rb") as lines:
        lines.seek(row.offset)
        return lines.read(row.length).decode().removesuffix("\n")


def that_fit(sizes: Iterable[int]) -> int:
    """How many of the rows with these sizes in bytes fit in one message; at least one."""
    count = size = 0
    for each in sizes:
        size += each
        if count and size > SHOWN_BYTES:
            break
        count += 1
    return count
