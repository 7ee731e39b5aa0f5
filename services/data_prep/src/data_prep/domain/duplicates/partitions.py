"""Records on disk, divided by the leading bits of their key, so that each division fits in memory.

Equal keys are in the same division, and the divisions are in the order of the keys. Few records
stay in memory: hundreds of small files take longer than all that is done with them.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTITION_BITS = 7
"""128 divisions: of 100 million records of 24 bytes each, one is some 19 MB."""

BUFFER_BYTES = 8 * 1024 * 1024


class PartitionedRecords:
    """Appends records of one dtype to the files of their divisions.

    Args:
        folder: A new folder, which is made.
        dtype: Of a record.
        bits: There are 2**bits divisions.
        buffer_bytes: So much waits in memory before it is written.
    """

    def __init__(
        self,
        folder: Path,
        dtype: np.dtype[Any],
        *,
        bits: int = PARTITION_BITS,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._dtype = dtype
        self._bits = bits
        self._buffer_bytes = buffer_bytes
        self._waiting: list[tuple[NDArray[np.uint64], NDArray[Any]]] = []
        self._waiting_bytes = 0
        self._divided: tuple[NDArray[Any], list[int]] | None = None
        self._on_disk = False

    def add(self, keys: NDArray[np.uint64], records: NDArray[Any]) -> None:
        """Append records, each to the division of its key."""
        self._waiting.append((keys >> np.uint64(64 - self._bits), records))
        self._waiting_bytes += records.nbytes
        self._divided = None
        if self._waiting_bytes >= self._buffer_bytes:
            self._write()

    def partitions(self) -> Iterator[NDArray[Any]]:
        """The records of each division, in the order of the divisions."""
        for index in range(2**self._bits):
            yield self.partition(index)

    def partition(self, index: int) -> NDArray[Any]:
        """The records of one division, in the order in which they came."""
        if self._on_disk:
            self._write()
            path = self._path(index)
            return np.fromfile(path, self._dtype) if path.exists() else np.empty(0, self._dtype)
        records, bounds = self._divide()
        return records[bounds[index] : bounds[index + 1]].copy()

    def _divide(self) -> tuple[NDArray[Any], list[int]]:
        """What waits, division by division, and where each begins; done again after an `add`."""
        if self._divided is None:
            places = np.concatenate(
                [np.empty(0, np.uint64), *(place for place, _ in self._waiting)]
            )
            some = [np.empty(0, self._dtype), *(records for _, records in self._waiting)]
            order = np.argsort(places, kind="stable")
            places, records = places[order], np.concatenate(some)[order]
            self._waiting = [(places, records)]
            ends = np.searchsorted(places, np.arange(2**self._bits), side="right")
            self._divided = records, [0, *ends.tolist()]
        return self._divided

    def _write(self) -> None:
        if not self._waiting:
            return
        records, bounds = self._divide()
        for index, (start, end) in enumerate(pairwise(bounds)):
            if end > start:
                with self._path(index).open("ab") as file:
                    records[start:end].tofile(file)
        self._waiting, self._waiting_bytes, self._divided = [], 0, None
        self._on_disk = True

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:04d}"
