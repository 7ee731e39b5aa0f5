"""Row provenance: outcome, rules, transforms and location of every source row; differences of rows.

A dataset has one Arrow file of provenance records, sorted by source line. Batches are indexed by
their first line, so that a lookup reads one batch. Two datasets are compared by row content,
independent of order.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelmill_data_prep.domain.row_decisions import SPLITS

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


@dataclass(frozen=True)
class Difference:
    """Multiset difference of the rows of two datasets."""

    common: int
    moved: int
    """Common rows that are in another split of the second dataset."""
    removed: int
    added: int
    removed_samples: list[KeptRow]
    """First rows that only the first dataset has."""
    added_samples: list[KeptRow]


class _Contents:
    """Content hashes and locations of a dataset's rows."""

    def __init__(self, provenance: Iterable[pa.RecordBatch]) -> None:
        contents: list[bytes] = []
        splits, offsets, lengths = [], [], []
        for batch in provenance:
            kept = batch.filter(pa.compute.is_valid(batch.column("split")))
            contents.append(b"".join(kept.column("content").to_pylist()))
            splits += [SPLITS.index(name) for name in kept.column("split").to_pylist()]
            offsets.append(kept.column("offset").to_numpy())
            lengths.append(kept.column("length").to_numpy())
        self.content = np.frombuffer(b"".join(contents), "V32")
        self.splits = np.array(splits, np.int8)
        self.offsets = np.concatenate(offsets) if offsets else np.zeros(0, np.int64)
        self.lengths = np.concatenate(lengths) if lengths else np.zeros(0, np.int64)

    def row(self, place: int) -> KeptRow:
        return KeptRow(
            SPLITS[self.splits[place]], int(self.offsets[place]), int(self.lengths[place])
        )


def difference(
    first: Iterable[pa.RecordBatch], second: Iterable[pa.RecordBatch], *, samples: int
) -> Difference:
    """Compare the rows of two datasets; memory holds about 60 bytes for each row of both.

    Args:
        samples: Number of sample rows per kind.
    """
    old, new = _Contents(first), _Contents(second)
    labels = _labels(old.content, new.content)
    old_labels, new_labels = labels[: len(old.content)], labels[len(old.content) :]
    in_both, old_places, new_places = np.intersect1d(
        old_labels, new_labels, assume_unique=True, return_indices=True
    )
    gone = np.setdiff1d(np.arange(len(old_labels)), old_places)
    come = np.setdiff1d(np.arange(len(new_labels)), new_places)
    return Difference(
        common=len(in_both),
        moved=int(np.count_nonzero(old.splits[old_places] != new.splits[new_places])),
        removed=len(gone),
        added=len(come),
        removed_samples=[old.row(place) for place in gone[:samples].tolist()],
        added_samples=[new.row(place) for place in come[:samples].tolist()],
    )


def _labels(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Labels that are equal for the nth occurrences of equal content."""
    _, contents = np.unique(np.concatenate([old, new]), return_inverse=True)
    count = int(contents.max()) + 1 if len(contents) else 0
    times = np.concatenate([_times(contents[: len(old)]), _times(contents[len(old) :])])
    labels: npt.NDArray[np.int64] = contents.astype(np.int64) + times * count
    return labels


def _times(values: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Number of earlier occurrences of each value."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else ordered
    runs = np.diff(np.r_[starts, len(ordered)])
    times = np.empty(len(values), np.int64)
    times[order] = np.arange(len(values)) - np.repeat(starts, runs)
    return times
