"""Records on disk, divided by the leading bits of their key, so that each division fits in memory.

Equal keys are in the same division, and the divisions are in the order of the keys.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTITION_BITS = 7
"""128 divisions: of 100 million records of 24 bytes each, one is some 19 MB."""

_BUFFER_BYTES = 8 * 1024 * 1024


class PartitionedRecords:
    """Appends records of one dtype to the files of their divisions.

    Args:
        folder: A new folder, which is made.
        dtype: Of a record.
        bits: There are 2**bits divisions.
    """

    def __init__(self, folder: Path, dtype: np.dtype[Any], *, bits: int = PARTITION_BITS) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._dtype = dtype
        self._bits = bits
        self._waiting: list[tuple[NDArray[np.uint64], NDArray[Any]]] = []
        self._waiting_bytes = 0

    def add(self, keys: NDArray[np.uint64], records: NDArray[Any]) -> None:
        """Append records, each to the division of its key."""
        self._waiting.append((keys >> np.uint64(64 - self._bits), records))
        self._waiting_bytes += records.nbytes
        if self._waiting_bytes >= _BUFFER_BYTES:
            self._write()

    def partitions(self) -> Iterator[NDArray[Any]]:
        """The records of each division, in the order of the divisions."""
        for index in range(2**self._bits):
            yield self.partition(index)

    def partition(self, index: int) -> NDArray[Any]:
        """The records of one division, in the order in which they came."""
        self._write()
        path = self._path(index)
        return np.fromfile(path, self._dtype) if path.exists() else np.empty(0, self._dtype)

    def _write(self) -> None:
        if not self._waiting:
            return
        places = np.concatenate([place for place, _ in self._waiting]).astype(np.uint16)
        records = np.concatenate([some for _, some in self._waiting])
        order = np.argsort(places, kind="stable")
        records = records[order]
        ends = np.cumsum(np.bincount(places, minlength=2**self._bits)).tolist()
        start = 0
        for index, end in enumerate(ends):
            if end > start:
                with self._path(index).open("ab") as file:
                    records[start:end].tofile(file)
            start = end
        self._waiting, self._waiting_bytes = [], 0

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:04d}"
