"""Inter-rater agreement: how often a rater gives the reference label, with 95 % intervals.

Cohen's kappa (Cohen 1960) is agreement beyond what the two raters' label frequencies alone would
give: 1 is perfect, 0 is chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelmill_evaluation.intervals import DEFAULT_RESAMPLES, Estimate, Statistics, estimate


@dataclass(frozen=True)
class Agreement:
    """Agreement of a rater with reference labels."""

    agreement: Estimate
    """Share of rows with the reference label."""
    kappa: Estimate
    confusion: Mapping[str, Mapping[str, int]]
    """Rows by reference label, and by the rater's; the empty label is that of rows without one."""


def agreement_of(
    pairs: Sequence[tuple[str, str | None]],
    labels: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
) -> Agreement:
    """Agreement over rows, each a reference label and the rater's, or None where it gave none.

    A row without a label of the rater's is one on which it does not agree.

    Raises:
        ValueError: there are no rows.
    """
    wide = len(labels) + 1
    place = {label: number for number, label in enumerate(labels)} | {None: len(labels)}
    cells = [place[reference] * wide + place[given] for reference, given in pairs]
    one_hot = np.eye(len(labels) * wide)
    statistics = Statistics.of_rows([tuple(one_hot[cell].tolist()) for cell in cells])
    draws: dict[str, int] = {"seed": seed, "resamples": resamples}
    share = estimate(_ShareAgreed(len(labels)), statistics, **draws)
    kappa = estimate(_Kappa(len(labels)), statistics, **draws)
    if share is None or kappa is None:
        raise ValueError("no rows to agree on")
    counts = np.bincount(cells, minlength=len(labels) * wide).reshape(len(labels), wide)
    given = [*labels, ""]
    confusion = {
        reference: {given[n]: int(count) for n, count in enumerate(row) if count}
        for reference, row in zip(labels, counts, strict=True)
    }
    return Agreement(share, kappa, confusion)


@dataclass(frozen=True)
class _ShareAgreed:
    """Of the counts of a confusion matrix with a last column for rows without a label."""

    labels: int
    higher_is_better = True

    def aggregate(self, sums: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
        matrix = sums.reshape(-1, self.labels, self.labels + 1)
        agreed: NDArray[np.float64] = np.trace(matrix, axis1=1, axis2=2)
        return agreed / rows

    def row_values(self, distinct: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.aggregate(distinct, 1)


@dataclass(frozen=True)
class _Kappa(_ShareAgreed):
    """Where chance alone would agree on all rows, nothing is known: 0."""

    def aggregate(self, sums: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
        shares = sums.reshape(-1, self.labels, self.labels + 1) / rows
        agreed = np.trace(shares, axis1=1, axis2=2)
        by_chance = (shares.sum(2) * shares.sum(1)[:, : self.labels]).sum(1)
        room = 1 - by_chance
        is_known = room > ROUNDING
        kappa: NDArray[np.float64] = np.where(
            is_known, (agreed - by_chance) / np.where(is_known, room, 1), 0
        )
        return kappa


ROUNDING = 1e-12
