"""Helpers for Arrow list columns that are processed flat."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import pyarrow as pa

Item = TypeVar("Item")


def like_lists(lists: pa.ListArray, texts: Sequence[str | None]) -> pa.ListArray:
    """Rebuild a list array with the same lengths from flat texts; handles sliced arrays.


    Args:
        texts: One per item of `lists.flatten()`.
    """
    offsets = lists.offsets
    # A slice keeps offsets into the parent array.
    if len(offsets) and offsets[0].as_py():
        offsets = pa.compute.subtract(offsets, offsets[0])
    return pa.ListArray.from_arrays(offsets, pa.array(texts, pa.string()))


def lists_of(items: Sequence[Item], lists: pa.ListArray) -> list[list[Item]]:
    """Group flat items by the lengths of a list array.


    Args:
        items: One per item of `lists.flatten()`.
    """
    offsets = lists.offsets.to_pylist()
    first = offsets[0] if offsets else 0
    return [list(items[start - first : end - first]) for start, end in pairwise(offsets)]


def as_list(column: pa.Array) -> list[Any]:
    """As `to_pylist`, but several times faster for strings and all-null columns."""
    if column.null_count == len(column):
        return [None] * len(column)
    if column.type == pa.string():
        texts: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return texts
    return list(column.to_pylist())
