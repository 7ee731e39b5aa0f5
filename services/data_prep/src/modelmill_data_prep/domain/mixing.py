"""Numbers of 64 bits as numbers that look random: how hashes of texts and places are spread."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_FACTOR = np.uint64(0x94D049BB133111EB)


def mixed(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Values of which every bit depends on every bit of what they were; no two become one.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014). The same on every machine.

    Args:
        values: Of 64 bits, unsigned.
    """
    values = values ^ (values >> np.uint64(30))
    values *= _FIRST_FACTOR
    values ^= values >> np.uint64(27)
    values *= _SECOND_FACTOR
    values ^= values >> np.uint64(31)
    return values
