"""Arrays on disk: memory-mapped with one entry per row, and radix-partitioned records.

Each partition fits in memory. Partitions are by leading key bits, so equal keys are in the same
partition and partitions are sorted. Records are buffered; each flush appends a run that is grouped
by partition.
"""

from collections.abc import Iterator
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK_ROWS = 1 << 16
"""Rows per chunk."""

Leaders = NDArray[np.int64]
"""Smallest ordinal of a row's cluster, by ordinal; a row that is its own leader stays."""


def new_array(path: Path, dtype: np.dtype[Any] | type, rows: int) -> NDArray[Any]:
    """Create a zero-filled array in a new file."""
    if not rows:
        return np.zeros(0, dtype)
    array: NDArray[Any] = np.memmap(path, dtype, mode="w+", shape=(rows,))
    return array


def release_pages(*arrays: NDArray[Any]) -> None:
    """Release the resident pages of memory-mapped arrays; their content stays."""
    for array in arrays:
        if isinstance(array.base, mmap):
            array.base.madvise(MADV_DONTNEED)


def chunks(rows: int, size: int = CHUNK_ROWS) -> Iterator[slice]:
    """Slices that cover `rows`, in order."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def identity_leaders(path: Path, rows: int) -> Leaders:
    """Leaders in which each row is its own."""
    leaders: Leaders = new_array(path, np.int64, rows)
    for part in chunks(rows):
        leaders[part] = np.arange(part.start, part.stop)
    return leaders


def is_leader(leaders: Leaders, ordinals: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each of these rows is its own leader."""
    kept: NDArray[np.bool_] = leaders[ordinals] == ordinals
    return kept


PARTITION_BITS = 7
"""128 partitions: of 100 million records of 24 bytes, one has about 19 MB."""

BUFFER_BYTES = 2 * 1024 * 1024
"""A partition's part of a run has about 16 kB, large enough for sequential read speed."""


class PartitionedRecords:
    """Appends records of one dtype to partitions.

    Args:
        folder: Created here.
        dtype: Record type.
        bits: Number of partitions, as 2**bits.
        buffer_bytes: Buffer size before a flush.
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
        self._grouped: tuple[NDArray[Any], NDArray[np.int64]] | None = None
        self._runs: list[NDArray[np.int64]] = []
        """Per run, the start of each partition in the file, in records, and the end of the last."""

    def add(self, keys: NDArray[np.uint64], records: NDArray[Any]) -> None:
        """Append records by key."""
        places = (keys >> np.uint64(64 - self._bits)).astype(np.uint16)
        self._waiting.append((places, records))
        self._waiting_bytes += records.nbytes
        self._grouped = None
        if self._waiting_bytes >= self._buffer_bytes:
            self._write()

    def partitions(self) -> Iterator[NDArray[Any]]:
        """Records of each partition, in order."""
        for index in range(2**self._bits):
            yield self.partition(index)

    def partition(self, index: int) -> NDArray[Any]:
        """Records of one partition, in order of insertion."""
        if not self._runs:
            records, bounds = self._group()
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

    def _group(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Buffered records grouped by partition, with offsets; cached until the next `add`."""
        if self._grouped is None:
            places = np.concatenate(
                [np.empty(0, np.uint16), *(place for place, _ in self._waiting)]
            )
            some = [np.empty(0, self._dtype), *(records for _, records in self._waiting)]
            order = np.argsort(places, kind="stable")
            places, records = places[order], np.concatenate(some)[order]
            self._waiting = [(places, records)]
            self._grouped = records, np.searchsorted(places, np.arange(2**self._bits + 1))
        return self._grouped

    def _write(self) -> None:
        if not self._waiting:
            return
        records, bounds = self._group()
        begins = int(self._runs[-1][-1]) if self._runs else 0
        with self._path.open("ab") as file:
            records.tofile(file)
        self._runs.append(bounds + begins)
        self._waiting, self._waiting_bytes, self._grouped = [], 0, None
