"""What two datasets do not have in common, by what their rows say and not by where they stand."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelmill_data_prep.domain.verdicts import SPLITS


@dataclass(frozen=True)
class KeptRow:
    """Where a row is written."""

    split: str
    offset: int
    length: int


@dataclass(frozen=True)
class Difference:
    """Rows of two datasets. A row that says the same twice counts twice."""

    common: int
    moved: int
    """Of those in common, how many are in another split of the second."""
    removed: int
    added: int
    removed_samples: list[KeptRow]
    """The first rows of the first dataset that the second does not have."""
    added_samples: list[KeptRow]


class _Contents:
    """The rows of one dataset by what they say."""

    def __init__(self, stories: Iterable[pa.RecordBatch]) -> None:
        contents: list[bytes] = []
        splits, offsets, lengths = [], [], []
        for batch in stories:
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
        samples: How many rows of each kind to name.
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
    """A number for each row of both: equal for the nth rows that say the same."""
    _, contents = np.unique(np.concatenate([old, new]), return_inverse=True)
    count = int(contents.max()) + 1 if len(contents) else 0
    times = np.concatenate([_times(contents[: len(old)]), _times(contents[len(old) :])])
    labels: npt.NDArray[np.int64] = contents.astype(np.int64) + times * count
    return labels


def _times(values: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Of each value how often it came before."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else ordered
    runs = np.diff(np.r_[starts, len(ordered)])
    times = np.empty(len(values), np.int64)
    times[order] = np.arange(len(values)) - np.repeat(starts, runs)
    return times
