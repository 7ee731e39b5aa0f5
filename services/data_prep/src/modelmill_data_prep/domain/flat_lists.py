"""Lists of texts whose items are worked on flat."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import pyarrow as pa

Item = TypeVar("Item")


def like_lists(lists: pa.ListArray, texts: Sequence[str | None]) -> pa.ListArray:
    """Lists as long as those given, of other texts; also of lists that are a slice of others.

    Args:
        texts: As many as `lists.flatten()` has, in its order.
    """
    offsets = lists.offsets
    # A slice keeps the offsets into the whole.
    if len(offsets) and offsets[0].as_py():
        offsets = pa.compute.subtract(offsets, offsets[0])
    return pa.ListArray.from_arrays(offsets, pa.array(texts, pa.string()))


def lists_of(items: Sequence[Item], lists: pa.ListArray) -> list[list[Item]]:
    """Items of lists as long as those given.

    Args:
        items: As many as `lists.flatten()` has, in its order.
    """
    offsets = lists.offsets.to_pylist()
    first = offsets[0] if offsets else 0
    return [list(items[start - first : end - first]) for start, end in pairwise(offsets)]


def as_list(column: pa.Array) -> list[Any]:
    """The same as `to_pylist`, several times as quickly for texts and for nothing but null."""
    if column.null_count == len(column):
        return [None] * len(column)
    if column.type == pa.string():
        texts: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return texts
    return list(column.to_pylist())
