"""MinHash signatures on disk with LSH banding (locality-sensitive hashing).

Two rows whose signatures agree in a whole band are candidates, which their full signatures confirm.
Longer bands give fewer false candidates; more bands miss fewer pairs.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from modelmill_service_kit.errors import InvalidInputError
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.disk_arrays import PartitionedRecords
from modelmill_data_prep.domain.duplicates.row_keys import PERMUTATIONS, Signatures
from modelmill_data_prep.domain.mixing import mixed

CANDIDATE_RECALL = 0.85
"""Minimum probability that a pair exactly at the threshold becomes a candidate."""

MAX_ROWS = 2**32
_PARTITION_BITS = 8
_PARTITIONS = 1 << _PARTITION_BITS
_ORDINAL_BITS = np.uint64(32)
_ORDINAL_MASK = np.uint64(2**32 - 1)
_COMPARED_TOGETHER = 1 << 11
_RECORDS_TOGETHER = 1 << 16
MEMORY_BYTES = 8 * 1024 * 1024
_HALF = np.dtype(np.uint16)

BandGroups = tuple[NDArray[np.uint64], NDArray[np.int64]]
"""Sorted band keys, and the ordinal of each."""


class Rows(Protocol):
    """Signatures by ordinal."""

    def __getitem__(self, ordinals: NDArray[np.int64], /) -> NDArray[np.uint16]:
        """(N, PERMUTATIONS) signatures of N rows."""
        ...


class _RowsOnDisk:
    """Reads rows on demand, instead of a memory map whose touched pages would count as this
    process' memory."""

    def __init__(self, file: int) -> None:
        self._file = file

    def __getitem__(self, ordinals: NDArray[np.int64]) -> NDArray[np.uint16]:
        size = PERMUTATIONS * _HALF.itemsize
        begins = (ordinals * size).tolist()
        read = b"".join([os.pread(self._file, size, begin) for begin in begins])
        return np.frombuffer(read, _HALF).reshape(-1, PERMUTATIONS)


def band_places(threshold: float) -> int:
    """Largest band length that still reaches `CANDIDATE_RECALL`."""
    fitting = [
        places
        for places in range(1, PERMUTATIONS + 1)
        if candidate_probability(threshold, places) >= CANDIDATE_RECALL
    ]
    return max(fitting, default=1)


def candidate_probability(similarity: float, places: int) -> float:
    """Probability that two rows of this similarity agree in at least one band."""
    return float(1 - (1 - similarity**places) ** (PERMUTATIONS // places))


class SignatureStore:
    """Stores signatures: 256 bytes of disk per row, and 8 per band.

    Args:
        folder: Created here.
        thresholds: Similarity thresholds to prepare bands for; 0 is ignored.
        memory_bytes: Larger signature sets are read from disk row by row.
    """

    def __init__(
        self, folder: Path, thresholds: Iterable[float], *, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        folder.mkdir(parents=True)
        self.rows = 0
        """Largest added ordinal plus one."""
        self._bands = {
            threshold: _Bands(folder / f"bands-{threshold:.6f}", threshold)
            for threshold in sorted({one for one in thresholds if one > 0})
        }
        self._path = folder / "signatures"
        self._path.touch()
        self._memory_bytes = memory_bytes

    def add(self, signatures: Signatures, first_ordinal: int) -> None:
        """Add signatures of consecutive rows; batches may arrive in any order.

        Raises:
            InvalidInputError: More than 2^32 rows.
        """
        end = first_ordinal + len(signatures)
        if end > MAX_ROWS:
            raise InvalidInputError(f"near duplicates are found among at most {MAX_ROWS} rows")
        # 16 of 32 bits discriminate sufficiently, with half of the disk.
        halves = signatures.astype(_HALF)
        with self._path.open("r+b") as file:
            file.seek(first_ordinal * halves.itemsize * PERMUTATIONS)
            file.write(halves.tobytes())
        for bands in self._bands.values():
            bands.add(signatures, first_ordinal)
        self.rows = max(self.rows, end)

    @contextmanager
    def signatures(self) -> Iterator["Rows"]:
        """Signatures by ordinal (16 bits per element), after all were added."""
        count = self.rows * PERMUTATIONS
        if count * _HALF.itemsize > self._memory_bytes:
            with self._path.open("rb", buffering=0) as file:
                yield _RowsOnDisk(file.fileno())
        else:
            yield np.fromfile(self._path, _HALF, count).reshape(self.rows, PERMUTATIONS)

    def band_groups(self, threshold: float, together: int) -> Iterator[BandGroups]:
        """Sorted band keys with their rows, group by group; a key occurs in one group only.


        Args:
            threshold: One of the store's thresholds.
            together: Partitions per group, see `partitions_per_group`; with the same number, groups
                of two stores have the same key ranges.
        """
        divisions = self._bands[threshold].records
        for start in range(0, _PARTITIONS, together):
            keys, ordinals = [], []
            for index in range(start, min(start + together, _PARTITIONS)):
                records = divisions.partition(index)
                records.sort()
                keys.append((records >> _ORDINAL_BITS) + (np.uint64(index) << _ORDINAL_BITS))
                ordinals.append((records & _ORDINAL_MASK).astype(np.int64))
            yield np.concatenate(keys), np.concatenate(ordinals)

    def partitions_per_group(self, threshold: float) -> int:
        """Number of partitions to process together; more if partitions are small."""
        records = self.rows * (PERMUTATIONS // band_places(threshold))
        together = _RECORDS_TOGETHER * _PARTITIONS // max(records, 1)
        return max(1, min(_PARTITIONS, together))


class _Bands:
    """Band keys on disk, as 64-bit records of key (upper half) and ordinal (lower half)."""

    def __init__(self, folder: Path, threshold: float) -> None:
        self.records = PartitionedRecords(folder, np.dtype(np.uint64), bits=_PARTITION_BITS)
        self._places = band_places(threshold)

    def add(self, signatures: Signatures, first_ordinal: int) -> None:
        count = PERMUTATIONS // self._places
        parts = signatures[:, : count * self._places].reshape(-1, count, self._places)
        keys = np.broadcast_to(np.arange(count, dtype=np.uint64), parts.shape[:2])
        for place in range(self._places):
            keys = mixed((keys << np.uint64(32)) ^ keys ^ parts[:, :, place])
        ordinals = np.arange(first_ordinal, first_ordinal + len(signatures), dtype=np.uint64)
        shift = np.uint64(_PARTITION_BITS)
        records = (keys << shift) & ~_ORDINAL_MASK | ordinals[:, None]
        self.records.add(keys.reshape(-1), records.reshape(-1))


def agree(
    left: Rows,
    right: Rows,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    threshold: float,
) -> NDArray[np.bool_]:
    """Whether the signatures of each pair reach the threshold.

    Args:
        left, right: Signatures of the first and second row of each pair, by ordinal.
        pairs: Ordinals of the pairs.
        threshold: Minimum estimated Jaccard similarity.
    """
    first, second = pairs
    enough = np.ceil(threshold * PERMUTATIONS - 1e-9)
    found = np.empty(len(first), bool)
    for start in range(0, len(first), _COMPARED_TOGETHER):
        part = slice(start, start + _COMPARED_TOGETHER)
        equal: NDArray[Any] = left[first[part]] == right[second[part]]
        found[part] = np.count_nonzero(equal, axis=1) >= enough
    return found
