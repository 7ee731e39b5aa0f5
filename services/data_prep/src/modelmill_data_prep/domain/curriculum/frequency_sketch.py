"""How often words and characters come up in a corpus, in memory that does not grow with it.

A count-min sketch (Cormode and Muthukrishnan 2005): every unit counts in one cell of each row, and
its least cell is at least its count, and above it by more than e/width of all units with a chance
of e^-depth. Cells are sums, so that sketches of blocks add up to that of the corpus in any order.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from modelmill_data_prep.domain.curriculum.text_units import Int64s, TextUnits, UInt64s, units_of

WIDTH = 1 << 17
DEPTH = 3
STEPS_OF_A_BIT = 1 << 10
"""Rarity is counted in 1/1024 bit: sums of whole numbers are the same on every machine, sums of
logarithms are not."""
_LOG_TABLE = 1 << 12


class FrequencySketch:
    """Counts units of texts; three megabytes, whatever the corpus.

    Args:
        counts: Of an earlier sketch; None for an empty one.
    """

    def __init__(self, counts: Int64s | None = None) -> None:
        self.counts: Int64s = np.zeros((DEPTH, WIDTH), np.int64) if counts is None else counts

    @property
    def total(self) -> int:
        """Units counted."""
        return int(self.counts[0].sum())

    def add(self, texts: Sequence[str]) -> None:
        """Count the units of texts."""
        self.add_units(units_of(texts))

    def add_units(self, units: TextUnits) -> None:
        """The same, of texts that are cut already."""
        for row, cells in enumerate(_cells(units.unit_hashes)):
            self.counts[row] += np.bincount(cells, minlength=WIDTH)

    def merge(self, other: "FrequencySketch") -> None:
        """Add what another sketch has counted."""
        self.counts += other.counts

    def rarity(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """For each text the mean of its units' information in bits; 0 for a text without any.

        That is the sentence rarity of Platanios et al. (2019), -sum log p(unit), divided by the
        number of units: length is a measure of its own. A unit that was never counted has that of
        one that was counted once.
        """
        return self.rarity_of(units_of(texts))

    def rarity_of(self, units: TextUnits) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """The same, of texts that are cut already."""
        cells = _cells(units.unit_hashes)
        least = np.min([self.counts[row][cells[row]] for row in range(DEPTH)], axis=0)
        total = np.array([max(self.total, 1)])
        bits = _steps(total) - _steps(np.maximum(least, 1))
        steps = np.maximum(units.units_of_text, 1) * STEPS_OF_A_BIT
        rarity: np.ndarray[Any, np.dtype[np.float64]] = units.sums(bits) / steps
        return rarity


def _cells(hashes: UInt64s) -> list[Int64s]:
    """The cell of each unit in each row: other bits of its hash."""
    bits = WIDTH.bit_length() - 1
    return [
        ((hashes >> np.uint64(bits * row)) & np.uint64(WIDTH - 1)).astype(np.int64)
        for row in range(DEPTH)
    ]


def _steps(counts: Int64s) -> Int64s:
    """The binary logarithm in steps of 1/1024, rounded down; of 12 bits of the number."""
    mantissa, exponent = np.frexp(counts.astype(np.float64))
    place = ((mantissa - 0.5) * 2 * _LOG_TABLE).astype(np.int64)
    return (exponent.astype(np.int64) - 1) * STEPS_OF_A_BIT + _log_table()[place]


@cache
def _log_table() -> Int64s:
    """Of 1 to 2, without a floating-point logarithm: by squaring, digit after digit."""
    digits = STEPS_OF_A_BIT.bit_length() - 1
    table = []
    for place in range(_LOG_TABLE):
        # In units of 2^-60; whole numbers, so that every machine finds the same.
        value, steps = ((_LOG_TABLE + place) << 60) // _LOG_TABLE, 0
        for _ in range(digits):
            value = (value * value) >> 60
            steps <<= 1
            if value >= 2 << 60:
                value >>= 1
                steps |= 1
        table.append(steps)
    return np.array(table, np.int64)
