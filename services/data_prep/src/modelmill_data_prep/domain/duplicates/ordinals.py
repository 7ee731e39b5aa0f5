"""Memory-mapped arrays with one entry per row."""

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
