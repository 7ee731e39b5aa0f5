"""Exact deduplication by equal keys."""

from pathlib import Path

import numpy as np

from modelmill_data_prep.domain.duplicates.ordinals import Leaders, identity_leaders
from modelmill_data_prep.domain.duplicates.partitions import PartitionedRecords
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
