"""Estimates with 95 % intervals, and paired comparisons, by the bootstrap over rows.

Percentile bootstrap (Efron & Tibshirani 1993, chapter 13); for two models the rows are resampled in
pairs (Koehn 2004), so that what is hard for both cancels. Resampling n rows with replacement draws
a multinomial count of the distinct rows, so the counts are drawn directly. A resample costs a sum
of sufficient statistics, and corpus measures (BLEU, perplexity, macro F1) have a bootstrap as
honest as that of a mean: rows are resampled, never averages of rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

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
    distinct, counts = np.unique(np.asarray(values), return_counts=True)
    totals = np.concatenate([draw @ distinct for draw in _draws(counts, [seed], resamples)])
    low, high = _interval(totals)
    return Interval(mean=sum(values) / rows, low=low / rows, high=high / rows)


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


DRAWN_AT_ONCE = 1 << 20
"""Rows drawn at a time."""
FEW_KINDS = 16
DEFAULT_RESAMPLES = 1_000


class Aggregates(Protocol):
    """The part of a measure that the bootstrap needs."""

    higher_is_better: bool

    def aggregate(self, sums: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
        """(samples, numbers) summed over `rows` rows to (samples,) values."""
        ...

    def row_values(self, distinct: NDArray[np.float64]) -> NDArray[np.float64]:
        """(distinct, numbers) to (distinct,): how good each row is on its own, as the measure."""
        ...


@dataclass(frozen=True)
class Estimate:
    """A measure over rows, and the 95 % interval around it: of the choice of rows alone."""

    value: float
    low: float
    high: float
    rows: int
    """That it is of."""


@dataclass(frozen=True)
class Comparison:
    """One model beside another on the same rows."""

    difference: Estimate
    """The measure of the first minus that of the second."""
    won: float
    """Share of rows on which the first is better."""
    lost: float
    tied: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True)
class _Resampled:
    """A value over rows, and the same over each resample of them."""

    value: float
    drawn: NDArray[np.float64]
    rows: int

    def estimate(self) -> Estimate:
        return Estimate(self.value, *_interval(self.drawn), self.rows)


def estimate(
    measure: Aggregates,
    statistics: Statistics,
    *,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> Estimate | None:
    """The measure with its interval; None where no row has statistics."""
    resampled = _resampled(measure, statistics, [seed], resamples)
    return None if resampled is None else resampled.estimate()


def compare(
    measure: Aggregates,
    first: Statistics,
    second: Statistics,
    *,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> Comparison | None:
    """The first beside the second, over the rows that both have; None where there are none.

    Raises:
        ValueError: they are not of the same rows.
    """
    resampled = _resampled_difference(measure, first, second, [seed], resamples)
    if resampled is None:
        return None
    both = first.known & second.known
    ours = measure.row_values(first.distinct)[first.of_row[both]]
    theirs = measure.row_values(second.distinct)[second.of_row[both]]
    gains = ours - theirs if measure.higher_is_better else theirs - ours
    return Comparison(resampled.estimate(), *_shares(gains))


Task = tuple[Aggregates, Statistics]
"""Of a suite: the measure that stands for it, and the statistics of its rows."""


def mean_estimate(
    tasks: Sequence[Task], *, seed: int = 0, resamples: int = DEFAULT_RESAMPLES
) -> Estimate | None:
    """The unweighted mean over tasks; None where one of them has no value.

    The rows of each task are resampled on their own: the interval is of the choice of rows, not of
    the choice of tasks.
    """
    return _mean_estimate(
        [
            _resampled(measure, statistics, [seed, place], resamples)
            for place, (measure, statistics) in enumerate(tasks)
        ]
    )


def mean_comparison(
    first: Sequence[Task],
    second: Sequence[Task],
    *,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> Comparison | None:
    """The difference of two models' means over the same tasks; None where one has no value.

    Rows are resampled in pairs. Won, lost and tied are shares of the tasks.

    Raises:
        ValueError: they are not of the same rows.
    """
    found = [
        _resampled_difference(measure, statistics, other, [seed, place], resamples)
        for place, ((measure, statistics), (_, other)) in enumerate(zip(first, second, strict=True))
    ]
    difference = _mean_estimate(found)
    if difference is None:
        return None
    gains = np.array([each.value for each in found if each is not None])
    return Comparison(difference, *_shares(gains))


def _mean_estimate(found: Sequence[_Resampled | None]) -> Estimate | None:
    tasks = [each for each in found if each is not None]
    if not tasks or len(tasks) < len(found):
        return None
    value = sum(each.value for each in tasks) / len(tasks)
    drawn = np.mean([each.drawn for each in tasks], axis=0)
    return _Resampled(value, drawn, sum(each.rows for each in tasks)).estimate()


def _shares(gains: NDArray[np.float64]) -> tuple[float, float, float]:
    """Shares that are won, lost and tied."""
    won, lost, tied = (float(np.mean(which)) for which in (gains > 0, gains < 0, gains == 0))
    return won, lost, tied


def _resampled(
    measure: Aggregates, statistics: Statistics, seed: Sequence[int], resamples: int
) -> _Resampled | None:
    places = statistics.of_row[statistics.known]
    if not len(places):
        return None
    kinds, counts = np.unique(places, return_counts=True)
    table = statistics.distinct[kinds]
    rows = len(places)
    value = measure.aggregate((counts @ table)[None], rows)[0]
    drawn = [measure.aggregate(draw @ table, rows) for draw in _draws(counts, seed, resamples)]
    return _Resampled(float(value), np.concatenate(drawn), rows)


def _resampled_difference(
    measure: Aggregates,
    first: Statistics,
    second: Statistics,
    seed: Sequence[int],
    resamples: int,
) -> _Resampled | None:
    if len(first.of_row) != len(second.of_row):
        raise ValueError(f"rows differ in number: {len(first.of_row)} and {len(second.of_row)}")
    both = first.known & second.known
    rows = int(both.sum())
    if not rows:
        return None
    pairs = np.stack([first.of_row[both], second.of_row[both]], axis=1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    ours, theirs = first.distinct[kinds[:, 0]], second.distinct[kinds[:, 1]]

    def difference(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return measure.aggregate(weights @ ours, rows) - measure.aggregate(weights @ theirs, rows)

    drawn = np.concatenate([difference(draw) for draw in _draws(counts, seed, resamples)])
    value = float(difference(counts[None].astype(np.float64))[0])
    return _Resampled(value, drawn, rows)


def _draws(
    counts: NDArray[np.int64], seed: Sequence[int], resamples: int
) -> Iterator[NDArray[np.float64]]:
    """(some samples, kinds): how often each kind of row comes; `resamples` in all."""
    generator = np.random.default_rng(seed)
    rows, kinds = int(counts.sum()), len(counts)
    kind_of = np.repeat(np.arange(kinds), counts)
    left = resamples
    while left:
        some = min(left, max(1, DRAWN_AT_ONCE // rows))
        if kinds <= FEW_KINDS:
            yield generator.multinomial(rows, counts / rows, size=some).astype(np.float64)
        else:
            # Quicker than a binomial for each of many kinds, and the same distribution.
            drawn = kind_of[generator.integers(rows, size=(some, rows))]
            drawn += kinds * np.arange(some)[:, None]
            found = np.bincount(drawn.ravel(), minlength=some * kinds)
            yield found.reshape(some, kinds).astype(np.float64)
        left -= some


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    # A quantile that is one of the values, not a point between two.
    low, high = np.quantile(values, TAILS, method="inverted_cdf")
    return float(low), float(high)
