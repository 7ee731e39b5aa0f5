"""Row provenance: outcome, rules, transforms and location of every source row.

A dataset has one Arrow file of provenance records, sorted by source line. Batches are indexed by
their first line, so that a lookup reads one batch.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

PROVENANCE = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        # sha256 of the source row's bytes.
        pa.field("source", pa.binary(32), nullable=False),
        # "kept", "dropped" or "quarantined".
        pa.field("outcome", pa.string(), nullable=False),
        # Stage and rule that removed it; null for kept rows.
        pa.field("rule", pa.string()),
        # Human-readable detail, such as the line of the duplicate.
        pa.field("detail", pa.string()),
        # Transforms that changed it, in order, "<name>@<version>".
        pa.field("changes", pa.list_(pa.string()), nullable=False),
        # Augmentation method; null for an original row.
        pa.field("made_by", pa.string()),
        # Kept rows: split, index in the split's file from 0, byte offset.
        pa.field("split", pa.string()),
        pa.field("position", pa.int64()),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        # Kept rows: sha256 of the content, independent of the line.
        pa.field("content", pa.binary(32)),
    ]
)


@dataclass(frozen=True)
class Bases:
    """Rows and bytes already written to a split's file."""

    rows: int
    size_bytes: int


def placed(provenance: pa.RecordBatch, bases: dict[str, Bases]) -> pa.RecordBatch:
    """A block's records with positions and offsets of the split's file, not of the block."""
    columns = {name: provenance.column(name) for name in PROVENANCE.names}
    splits = columns["split"]
    for name, base in bases.items():
        in_split = pa.compute.fill_null(pa.compute.equal(splits, name), False)
        for column, start in (("position", base.rows), ("offset", base.size_bytes)):
            moved = pa.compute.add(columns[column], pa.scalar(start, pa.int64()))
            columns[column] = pa.compute.if_else(in_split, moved, columns[column])
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in PROVENANCE.names], schema=PROVENANCE
    )


class ProvenanceFile:
    """Reads provenance records, one batch at a time."""

    def __init__(self, path: Path) -> None:
        self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self._first_lines: list[int] | None = None

    def of_line(self, line: int) -> list[dict[str, Any]]:
        """Records of a source line, including augmented rows; empty if no row begins there."""
        batch = bisect_right(self._index(), line) - 1
        if batch < 0:
            return []
        provenance = self._reader.get_batch(batch)
        found = provenance.filter(pa.compute.equal(provenance.column("line"), line))
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All batches, in order."""
        for index in range(self._reader.num_record_batches):
            yield self._reader.get_batch(index)

    def _index(self) -> list[int]:
        if self._first_lines is None:
            self._first_lines = [batch.column("line")[0].as_py() for batch in self.batches()]
        return self._first_lines


@dataclass(frozen=True)
class KeptRow:
    """Location of a row in a split's file."""

    split: str
    offset: int
    length: int
