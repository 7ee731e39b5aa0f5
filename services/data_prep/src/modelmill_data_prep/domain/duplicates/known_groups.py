"""Membership test of group keys, for augmented rows."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.exact import KeyedOrdinals
from modelmill_data_prep.domain.duplicates.row_keys import Keys


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
