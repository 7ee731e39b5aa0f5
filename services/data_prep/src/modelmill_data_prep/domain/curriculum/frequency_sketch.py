"""Count-min sketch (Cormode and Muthukrishnan 2005) of word and character frequencies.

Memory is constant. The minimum over a unit's cells overestimates its count by more than e/width of
all units with probability e^-depth. Sketches of blocks can be added in any order.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from modelmill_data_prep.domain.curriculum.text_units import Int64s, TextUnits, UInt64s, units_of

WIDTH = 1 << 17
DEPTH = 3
STEPS_OF_A_BIT = 1 << 10
"""Information is measured in integer steps of 1/1024 bit, whose sums are the same on every machine,
unlike sums of floating-point logarithms."""
_LOG_TABLE = 1 << 12


class FrequencySketch:
    """Counts units of texts in three megabytes.

    Args:
        counts: Cells of another sketch; None for an empty one.
    """

    def __init__(self, counts: Int64s | None = None) -> None:
        self.counts: Int64s = np.zeros((DEPTH, WIDTH), np.int64) if counts is None else counts

    @property
    def total(self) -> int:
        """Number of counted units."""
        return int(self.counts[0].sum())

    def add(self, texts: Sequence[str]) -> None:
        """Count the units of texts."""
        self.add_units(units_of(texts))

    def add_units(self, units: TextUnits) -> None:
        """As the method above, for texts that are already split into units."""
        for row, cells in enumerate(_cells(units.unit_hashes)):
            self.counts[row] += np.bincount(cells, minlength=WIDTH)

    def merge(self, other: "FrequencySketch") -> None:
        """Add the counts of another sketch."""
        self.counts += other.counts

    def rarity(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Mean information of a text's units in bits; 0 for a text without units.

        This is the sentence rarity of Platanios et al. (2019), -sum log p(unit), divided by the
        number
        of units, because length is a factor of its own. An unseen unit counts as seen once.
        """
        return self.rarity_of(units_of(texts))

    def rarity_of(self, units: TextUnits) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """As the method above, for texts that are already split into units."""
        cells = _cells(units.unit_hashes)
        least = np.min([self.counts[row][cells[row]] for row in range(DEPTH)], axis=0)
        total = np.array([max(self.total, 1)])
        bits = _steps(total) - _steps(np.maximum(least, 1))
        steps = np.maximum(units.units_of_text, 1) * STEPS_OF_A_BIT
        rarity: np.ndarray[Any, np.dtype[np.float64]] = units.sums(bits) / steps
        return rarity


def _cells(hashes: UInt64s) -> list[Int64s]:
    """Cell of each unit per row, from different bits of its hash."""
    bits = WIDTH.bit_length() - 1
    return [
        ((hashes >> np.uint64(bits * row)) & np.uint64(WIDTH - 1)).astype(np.int64)
        for row in range(DEPTH)
    ]


def _steps(counts: Int64s) -> Int64s:
    """Binary logarithm in steps of 1/1024, rounded down, from the 12 leading bits."""
    mantissa, exponent = np.frexp(counts.astype(np.float64))
    place = ((mantissa - 0.5) * 2 * _LOG_TABLE).astype(np.int64)
    return (exponent.astype(np.int64) - 1) * STEPS_OF_A_BIT + _log_table()[place]


@cache
def _log_table() -> Int64s:
    """Logarithms of 1 to 2 by repeated squaring, without floating point."""
    digits = STEPS_OF_A_BIT.bit_length() - 1
    table = []
    for place in range(_LOG_TABLE):
        # Fixed point with 60 bits, so that every machine computes the same.
        value, steps = ((_LOG_TABLE + place) << 60) // _LOG_TABLE, 0
        for _ in range(digits):
            value = (value * value) >> 60
            steps <<= 1
            if value >= 2 << 60:
                value >>= 1
                steps |= 1
        table.append(steps)
    return np.array(table, np.int64)
