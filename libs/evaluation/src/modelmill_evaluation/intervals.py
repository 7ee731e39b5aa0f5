"""Means with 95 % intervals from the bootstrap over rows.

Resampling n rows with replacement draws a multinomial count of the distinct values among them, so
the counts are drawn directly: the same distribution, without building 10,000 samples of n rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAILS = (0.025, 0.975)
"""Shares of the resamples below the two ends of the interval."""


@dataclass(frozen=True)
class Interval:
    """A mean over rows and the 95 % interval around it, as shares (0.75, not 75).

    The interval speaks of the choice of rows, not of training seeds. It has no width when all rows
    agree: the bootstrap cannot see what the sample does not hold.
    """

    mean: float
    low: float
    high: float


def accuracy(correct: Sequence[bool], *, seed: int = 0, resamples: int = 10_000) -> Interval:
    """Share of rows answered correctly.

    Raises:
        ValueError: there are no rows.
    """
    return _bootstrap([int(row) for row in correct], seed, resamples)


def paired_difference(
    tuned: Sequence[bool], base: Sequence[bool], *, seed: int = 0, resamples: int = 10_000
) -> Interval:
    """Accuracy of `tuned` minus that of `base` on the same rows in the same order.

    Rows are resampled in pairs: what is hard for both models cancels, so the interval is narrower
    than that of two independent samples.

    Raises:
        ValueError: there are no rows, or the two do not have the same number of them.
    """
    if len(tuned) != len(base):
        raise ValueError(f"paired rows differ in number: {len(tuned)} and {len(base)}")
    differences = [int(a) - int(b) for a, b in zip(tuned, base, strict=True)]
    return _bootstrap(differences, seed, resamples)


def _bootstrap(values: Sequence[int], seed: int, resamples: int) -> Interval:
    rows = len(values)
    if rows == 0:
        raise ValueError("no rows to average over")
    distinct, counts = np.unique(np.asarray(values, dtype=np.int64), return_counts=True)
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(rows, counts / rows, size=resamples)
    totals: NDArray[np.int64] = draws @ distinct
    # A quantile that is one of the totals, not a point between two: a mean of whole rows.
    low, high = np.quantile(totals, TAILS, method="inverted_cdf")
    return Interval(mean=sum(values) / rows, low=float(low) / rows, high=float(high) / rows)
