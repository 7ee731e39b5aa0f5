"""Lists of texts whose items are worked on flat."""

from collections.abc import Sequence

import pyarrow as pa


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
