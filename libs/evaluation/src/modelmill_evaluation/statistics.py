"""Rows as sufficient statistics: a measure of any set of rows follows from the sum of theirs.

So a resample costs a sum, not a computation over texts, and corpus measures (BLEU, perplexity,
macro F1) have a bootstrap as honest as that of a mean: rows are resampled, never averages of rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Statistics:
    """The statistics of rows; equal ones are kept once."""

    distinct: NDArray[np.float64]
    """(distinct, numbers)"""
    of_row: NDArray[np.int64]
    """(rows,): which of the distinct ones; -1 for a row that has none."""

    @classmethod
    def of_rows(cls, rows: list[tuple[float, ...] | None]) -> "Statistics":
        """From each row's numbers, all as many; None for a row to which the measure does not apply.

        Raises:
            ValueError: not as many numbers in each.
        """
        places: dict[tuple[float, ...], int] = {}
        of_row = [-1 if row is None else places.setdefault(row, len(places)) for row in rows]
        widths = {len(row) for row in places}
        if len(widths) > 1:
            raise ValueError("rows differ in how many numbers they have")
        distinct = np.array(list(places), np.float64).reshape(len(places), *widths or (0,))
        return cls(distinct, np.array(of_row, np.int64))

    def of(self, rows: NDArray[np.int64]) -> "Statistics":
        """Those of some rows, by their places."""
        return Statistics(self.distinct, self.of_row[rows])

    @property
    def known(self) -> NDArray[np.bool_]:
        """(rows,): which have any."""
        return self.of_row >= 0
