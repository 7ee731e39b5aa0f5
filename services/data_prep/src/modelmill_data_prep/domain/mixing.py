"""64-bit integer mixing function (SplitMix64 finaliser)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_FACTOR = np.uint64(0x94D049BB133111EB)


def mixed(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Bijective mix of 64-bit values, in which every output bit depends on every input bit.

    SplitMix64 (Steele, Lea and Flood 2014); the same on every machine.


    Args:
        values: Unsigned 64-bit values.
    """
    values = values ^ (values >> np.uint64(30))
    values *= _FIRST_FACTOR
    values ^= values >> np.uint64(27)
    values *= _SECOND_FACTOR
    values ^= values >> np.uint64(31)
    return values
