"""Which rows share a sequence, so that few positions of it stay empty.

Best fit decreasing: the longest rows first, each into the pack with the least room that it fits
in. That makes at most 11/9 as many packs as would do, and a few (Johnson, "Near-Optimal Bin
Packing Algorithms", 1973).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW_ROWS = 1024
"""With an order, rows share a pack only with rows that come about when they do."""


def plan_packs(
    lengths: Sequence[int] | NDArray[np.int32],
    pack_tokens: int,
    order: Sequence[int] | NDArray[np.int64] | None = None,
) -> Iterator[list[int]]:
    """Packs of at most `pack_tokens`; every row is in one. A row that is longer is alone.

    Args:
        lengths: Tokens of each row.
        order: Places of the rows as they are trained on; None when that is not fixed.

    Returns:
        The places of each pack's rows; rows within a pack, and packs by their first row, are in
        the order of training.
    """
    places = np.arange(len(lengths)) if order is None else np.asarray(order, dtype=np.int64)
    taken = np.asarray(lengths, dtype=np.int64)[places]
    window = max(len(places), 1) if order is None else WINDOW_ROWS
    for first in range(0, len(places), window):
        for pack in _best_fit(taken[first : first + window], pack_tokens):
            yield [int(places[first + step]) for step in pack]


def _best_fit(lengths: NDArray[np.int64], room: int) -> list[list[int]]:
    packs: list[list[int]] = []
    # The packs that have just so much room left, and the amounts of which there are any, as bits.
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
