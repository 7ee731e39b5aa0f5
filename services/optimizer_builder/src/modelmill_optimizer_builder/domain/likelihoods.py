"""How likely a build finds texts and right answers, beside its reference, with 95 % intervals.

All logarithms are natural. Texts and rows are resampled in pairs: what is hard for both cancels.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from modelmill_evaluation.intervals import Aggregates, Estimate, Statistics, estimate
from numpy.typing import NDArray

MOST_LOG = 50.0
"""A larger mean is shown as this: e to its power is no number that anybody could use."""

Likelihoods = Sequence[float]
"""Log-likelihood of each token of a text after its first."""


class _Perplexity:
    """Of rows (surprise, tokens): e to the mean surprise of a token."""

    higher_is_better = False

    def aggregate(self, sums: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
        return self.row_values(sums)

    def row_values(self, distinct: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.exp(np.minimum(distinct[:, 0] / distinct[:, 1], MOST_LOG))
        return result


class _Growth(_Perplexity):
    """Of rows (surprise more than the reference's, tokens): by what share the perplexity grows."""

    def row_values(self, distinct: NDArray[np.float64]) -> NDArray[np.float64]:
        return super().row_values(distinct) - 1


class _Mean:
    """Of rows (value,)."""

    higher_is_better = True

    def aggregate(self, sums: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
        result: NDArray[np.float64] = sums[:, 0] / rows
        return result

    def row_values(self, distinct: NDArray[np.float64]) -> NDArray[np.float64]:
        return distinct[:, 0]


def perplexity(texts: Sequence[Likelihoods]) -> Estimate:
    """Perplexity over all tokens of some texts.

    Raises:
        ValueError: There are no texts.
    """
    return _estimated(_Perplexity(), ((-sum(text), len(text)) for text in texts))


def perplexity_growth(reference: Sequence[Likelihoods], built: Sequence[Likelihoods]) -> Estimate:
    """By what share the build's perplexity of the same texts is larger; 0.05 for 5 % more.

    Raises:
        ValueError: There are no texts, or not the same.
    """
    rows = zip(reference, built, strict=True)
    return _estimated(_Growth(), ((sum(was) - sum(now), len(was)) for was, now in rows))


def mean_loss(reference: Sequence[float], built: Sequence[float]) -> Estimate:
    """Mean of reference minus build, row by row: positive if the build is worse.

    Raises:
        ValueError: There are no rows, or not the same.
    """
    rows = zip(reference, built, strict=True)
    return _estimated(_Mean(), ((was - now,) for was, now in rows))


def perplexity_figures(
    name: str, reference: Sequence[Likelihoods], built: Sequence[Likelihoods]
) -> dict[str, float]:
    """Metrics `name` and so on of a version, from the same texts."""
    return {
        **_figures(name, perplexity(built)),
        **_figures(f"{name}_bf16", perplexity(reference)),
        **_figures(f"{name}_loss", perplexity_growth(reference, built)),
    }


def label_figures(reference: Sequence[float], built: Sequence[float]) -> dict[str, float]:
    """Metrics of a version, from the log-likelihood of the right answer of each row."""
    means = (_estimated(_Mean(), ((row,) for row in rows)) for rows in (built, reference))
    names = ("label_log_likelihood", "label_log_likelihood_bf16")
    figures = {
        key: value
        for name, mean in zip(names, means, strict=True)
        for key, value in _figures(name, mean).items()
    }
    return figures | _figures("label_log_likelihood_loss", mean_loss(reference, built))


def _estimated(measure: Aggregates, rows: Iterable[tuple[float, ...]]) -> Estimate:
    found = estimate(measure, Statistics.of_rows(list(rows)))
    if found is None:
        raise ValueError("there is nothing to average over")
    return found


def _figures(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
