"""Exact deduplication by equal keys, and membership test of group keys for augmented rows."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.disk_arrays import (
    Leaders,
    PartitionedRecords,
    identity_leaders,
)
from modelmill_data_prep.domain.duplicates.row_keys import Keys

KEYED_ORDINAL = np.dtype([("high", np.uint64), ("low", np.uint64), ("ordinal", np.int64)])
"""A 16-byte key and the ordinal of its row."""


class KeyedOrdinals:
    """16-byte keys of rows, partitioned on disk.

    Args:
        folder: Created here.
    """

    def __init__(self, folder: Path) -> None:
        self.rows = 0
        """Largest added ordinal plus one."""
        self.records = PartitionedRecords(folder / "keys", KEYED_ORDINAL)
        self._folder = folder

    def add(self, keys: Keys, first_ordinal: int) -> None:
        """Add keys of consecutive rows; batches may arrive in any order."""
        records = np.empty(len(keys), KEYED_ORDINAL)
        records["high"], records["low"] = keys[:, 0], keys[:, 1]
        records["ordinal"] = np.arange(first_ordinal, first_ordinal + len(keys))
        self.records.add(keys[:, 0], records)
        self.rows = max(self.rows, first_ordinal + len(keys))


class ExactDuplicates(KeyedOrdinals):
    """Finds exact duplicates, with 32 bytes of disk per row."""

    def leaders(self) -> Leaders:
        """First equal row by ordinal; call once, after all rows were added."""
        leaders = identity_leaders(self._folder / "leaders", self.rows)
        for records in self.records.partitions():
            if len(records) < 2:
                continue
            records = records[np.lexsort((records["low"], records["high"]))]
            starts = run_starts(records)
            sizes = np.diff(np.append(starts, len(records)))
            if len(starts) == len(records):
                continue
            first = np.minimum.reduceat(records["ordinal"], starts)
            repeated = np.repeat(sizes > 1, sizes)
            leaders[records["ordinal"][repeated]] = np.repeat(first, sizes)[repeated]
        return leaders


def run_starts(records: np.ndarray[tuple[int], np.dtype[np.void]]) -> np.ndarray:
    """Start of each run of equal keys in sorted records."""
    high, low = records["high"], records["low"]
    changes = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return np.append(0, np.flatnonzero(changes) + 1)


class KnownGroups:
    """Sorted group keys of all rows and evaluation rows, on disk.

    Args:
        stores: Sources of the keys.
        path: File with 16 bytes per row; created here.
    """

    def __init__(self, stores: Iterable[KeyedOrdinals], path: Path) -> None:
        count = 0
        with path.open("xb") as file:
            for parts in zip(*(one.records.partitions() for one in stores), strict=True):
                records = np.concatenate(parts)
                keys = np.stack([records["high"], records["low"]], axis=1)
                keys = keys[np.lexsort((keys[:, 1], keys[:, 0]))]
                keys.tofile(file)
                count += len(keys)
        self._path = path
        self._shape = (count, 2)

    def contain(self, groups: Keys) -> NDArray[np.bool_]:
        """Whether each group is known; by binary search on the mapped file."""
        found = np.zeros(len(groups), bool)
        if not self._shape[0]:
            return found
        known = np.memmap(self._path, np.uint64, mode="r", shape=self._shape)
        places = np.searchsorted(known[:, 0], groups[:, 0], side="left")
        open_ = np.arange(len(groups))
        # Keys with an equal upper half are adjacent and rare.
        while len(open_):
            inside = places[open_] < len(known)
            open_ = open_[inside]
            here = known[places[open_]]
            found[open_] = (here == groups[open_]).all(axis=1)
            same_half = here[:, 0] == groups[open_, 0]
            open_ = open_[same_half & ~found[open_]]
            places[open_] += 1
        return found
