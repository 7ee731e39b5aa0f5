"""Sequence packing by best-fit decreasing.

The longest rows come first, each into the fullest pack that has room. It needs at most 11/9 of the
optimal number of packs, plus a constant (Johnson, "Near-Optimal Bin Packing Algorithms", 1973).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW_ROWS = 1024
"""With a training order, only rows within such a window share packs."""


def plan_packs(
    lengths: Sequence[int] | NDArray[np.int32],
    pack_tokens: int,
    order: Sequence[int] | NDArray[np.int64] | None = None,
) -> Iterator[list[int]]:
    """Packs of at most `pack_tokens`; every row is in one, and a longer row is alone.

    Args:
        lengths: Tokens of each row.
        order: Training order of rows; None if it is not fixed.

    Returns:
        Row indices of each pack, in training order.
    """
    places = np.arange(len(lengths)) if order is None else np.asarray(order, dtype=np.int64)
    taken = np.asarray(lengths, dtype=np.int64)[places]
    window = max(len(places), 1) if order is None else WINDOW_ROWS
    for first in range(0, len(places), window):
        for pack in _best_fit(taken[first : first + window], pack_tokens):
            yield [int(places[first + step]) for step in pack]


def _best_fit(lengths: NDArray[np.int64], room: int) -> list[list[int]]:
    packs: list[list[int]] = []
    # Packs by remaining room, and a bit set of the amounts that occur.
    by_room: defaultdict[int, list[int]] = defaultdict(list)
    amounts = 0
    for step in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[step])
        fitting = amounts >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            pack = by_room[left].pop()
            if not by_room[left]:
                amounts ^= 1 << left
            packs[pack].append(step)
        else:
            left, pack = max(room, length), len(packs)
            packs.append([step])
        left -= length
        by_room[left].append(pack)
        amounts |= 1 << left
    return sorted(sorted(pack) for pack in packs)
