"""Arrays by ordinal on disk: what was decided for each row."""

from collections.abc import Iterator
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK_ROWS = 1 << 16
"""So many rows are looked at together."""

Leaders = NDArray[np.int64]
"""By ordinal: the smallest ordinal of a row that says the same; its own for a row that stays."""


def new_array(path: Path, dtype: np.dtype[Any] | type, rows: int) -> NDArray[Any]:
    """An array of zeros, kept in a file that does not exist yet."""
    if not rows:
        return np.zeros(0, dtype)
    array: NDArray[Any] = np.memmap(path, dtype, mode="w+", shape=(rows,))
    return array


def let_go(*arrays: NDArray[Any]) -> None:
    """Keep no page in memory of those that are in files; what they hold stays as it is."""
    for array in arrays:
        if isinstance(array.base, mmap):
            array.base.madvise(MADV_DONTNEED)


def chunks(rows: int, size: int = CHUNK_ROWS) -> Iterator[slice]:
    """Slices that cover `rows`, in order."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def own_ordinals(path: Path, rows: int) -> Leaders:
    """Leaders of which each row is its own."""
    leaders: Leaders = new_array(path, np.int64, rows)
    for part in chunks(rows):
        leaders[part] = np.arange(part.start, part.stop)
    return leaders


def stays(leaders: Leaders, ordinals: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each of these rows is its own leader."""
    kept: NDArray[np.bool_] = leaders[ordinals] == ordinals
    return kept
