"""Records on disk, divided by the leading bits of their key, so that each division fits in memory.

Equal keys are in the same division, and the divisions are in the order of the keys. Records wait
in memory until there are enough to be worth a write; each write is a run of all divisions in one
file, and a division is read from its place in every run.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTITION_BITS = 7
"""128 divisions: of 100 million records of 24 bytes each, one is some 19 MB."""

BUFFER_BYTES = 2 * 1024 * 1024
"""A run of a division is then some 16 kB, which is still read at the speed of a file."""


class PartitionedRecords:
    """Appends records of one dtype to their divisions.

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
        self._path = folder / "runs"
        self._dtype = dtype
        self._bits = bits
        self._buffer_bytes = buffer_bytes
        self._waiting: list[tuple[NDArray[np.uint16], NDArray[Any]]] = []
        self._waiting_bytes = 0
        self._divided: tuple[NDArray[Any], NDArray[np.int64]] | None = None
        self._runs: list[NDArray[np.int64]] = []
        """Of each run where in the file, in records, each division begins, and where the last
        ends."""

    def add(self, keys: NDArray[np.uint64], records: NDArray[Any]) -> None:
        """Append records, each to the division of its key."""
        places = (keys >> np.uint64(64 - self._bits)).astype(np.uint16)
        self._waiting.append((places, records))
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
        if not self._runs:
            records, bounds = self._divide()
            return records[bounds[index] : bounds[index + 1]].copy()
        self._write()
        size = self._dtype.itemsize
        return np.concatenate(
            [
                np.fromfile(
                    self._path, self._dtype, count=int(end - start), offset=int(start) * size
                )
                for start, end in (run[index : index + 2] for run in self._runs)
            ]
        )

    def _divide(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """What waits, division by division, and where each begins; done again after an `add`."""
        if self._divided is None:
            places = np.concatenate(
                [np.empty(0, np.uint16), *(place for place, _ in self._waiting)]
            )
            some = [np.empty(0, self._dtype), *(records for _, records in self._waiting)]
            order = np.argsort(places, kind="stable")
            places, records = places[order], np.concatenate(some)[order]
            self._waiting = [(places, records)]
            self._divided = records, np.searchsorted(places, np.arange(2**self._bits + 1))
        return self._divided

    def _write(self) -> None:
        if not self._waiting:
            return
        records, bounds = self._divide()
        begins = int(self._runs[-1][-1]) if self._runs else 0
        with self._path.open("ab") as file:
            records.tofile(file)
        self._runs.append(bounds + begins)
        self._waiting, self._waiting_bytes, self._divided = [], 0, None
