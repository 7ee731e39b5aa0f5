"""Exact duplicates: rows whose keys are equal, wherever they stand."""

from pathlib import Path

import numpy as np

from modelmill_data_prep.domain.duplicates.ordinals import Leaders, own_ordinals
from modelmill_data_prep.domain.duplicates.partitions import PartitionedRecords
from modelmill_data_prep.domain.duplicates.row_keys import Keys

KEYED_ORDINAL = np.dtype([("high", np.uint64), ("low", np.uint64), ("ordinal", np.int64)])
"""A key of 16 bytes and the row that has it."""


class KeyedOrdinals:
    """Keys of 16 bytes of rows, on disk in the order of the keys.

    Args:
        folder: A new folder, which is made.
    """

    def __init__(self, folder: Path) -> None:
        self.rows = 0
        """One more than the largest ordinal added."""
        self.records = PartitionedRecords(folder / "keys", KEYED_ORDINAL)
        self._folder = folder

    def add(self, keys: Keys, first_ordinal: int) -> None:
        """Take the keys of consecutive rows, each row once, in any order of the batches."""
        records = np.empty(len(keys), KEYED_ORDINAL)
        records["high"], records["low"] = keys[:, 0], keys[:, 1]
        records["ordinal"] = np.arange(first_ordinal, first_ordinal + len(keys))
        self.records.add(keys[:, 0], records)
        self.rows = max(self.rows, first_ordinal + len(keys))


class ExactDuplicates(KeyedOrdinals):
    """Finds rows that say the same. Takes 24 bytes of disk a row, and 8 for what is decided."""

    def leaders(self) -> Leaders:
        """By ordinal the first row that says the same; call it once, when all rows were added."""
        leaders = own_ordinals(self._folder / "leaders", self.rows)
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
    """Where runs of equal keys begin among records in the order of their keys."""
    high, low = records["high"], records["low"]
    changes = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return np.append(0, np.flatnonzero(changes) + 1)
