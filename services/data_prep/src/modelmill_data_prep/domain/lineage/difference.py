"""Compares two datasets by row content, independent of order."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelmill_data_prep.domain.row_decisions import SPLITS


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
    """Compare the stories of two datasets; memory holds about 60 bytes for each row of both.

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
