"""Chooses among ways to make a form's weights, by rows and texts that they were not made with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_optimizer_builder.domain.likelihoods import (
    Likelihoods,
    mean_loss,
    perplexity_growth,
)

LARGEST_SHARE = 0.38
"""Of the bytes in bf16: what is larger competes only where nothing is smaller."""
SAME_SIZE = 1.01
"""Then the smallest compete, and those with up to so many times its bytes."""


@dataclass(frozen=True)
class Judgement:
    """What one set of weights makes of the rows and texts that judge."""

    answers: Sequence[float]
    """Log-likelihood of the right answer of each row; empty without rows."""
    texts: Sequence[Likelihoods]
    """General text."""


@dataclass(frozen=True)
class WeightsTrial:
    """Weights made in one way."""

    name: str
    weights_bytes: int
    seconds: float
    """To make them."""
    judgement: Judgement


@dataclass(frozen=True)
class WeightsChoice:
    """The way that won, and what the manifest says of all."""

    name: str
    why: str
    trials: list[dict[str, Any]]


def choose_weights(
    trials: Sequence[WeightsTrial], reference: Judgement, reference_bytes: int
) -> WeightsChoice:
    """The trial whose right answers are likeliest, among those within the limit of size.

    Of trials that the rows do not tell apart (the interval of the difference to the likeliest holds
    0), the one with the lowest perplexity of general text. Without rows that alone decides.

    Args:
        trials: At least one; all judged by what `reference`, the bf16 weights, was judged by.
    """
    fitting = _fitting(trials, reference_bytes)
    equals, by_rows = fitting, ""
    if reference.answers:
        best = max(fitting, key=lambda trial: sum(trial.judgement.answers))
        equals = [trial for trial in fitting if trial is best or not _is_worse(trial, best)]
        by_rows = f"right answers of {len(reference.answers)} rows are likeliest"
    chosen = min(equals, key=lambda trial: -sum(map(sum, trial.judgement.texts)))
    by_texts = "the lowest perplexity of general text"
    if not by_rows:
        why = by_texts
    elif len(equals) == 1:
        why = by_rows
    else:
        names = ", ".join(trial.name for trial in equals)
        why = f"{by_rows}, with no clear difference between {names}; of these {by_texts}"
    return WeightsChoice(
        chosen.name, why, [_record(trial, reference, reference_bytes) for trial in trials]
    )


def _fitting(trials: Sequence[WeightsTrial], reference_bytes: int) -> list[WeightsTrial]:
    smallest = min(trial.weights_bytes for trial in trials)
    limit = max(LARGEST_SHARE * reference_bytes, SAME_SIZE * smallest)
    return [trial for trial in trials if trial.weights_bytes <= limit]


def _is_worse(trial: WeightsTrial, best: WeightsTrial) -> bool:
    """Whether its right answers are clearly less likely."""
    return mean_loss(best.judgement.answers, trial.judgement.answers).low > 0


def _record(trial: WeightsTrial, reference: Judgement, reference_bytes: int) -> dict[str, Any]:
    """Figures of a trial; each loss is beside the bf16 weights, with its interval."""
    growth = perplexity_growth(reference.texts, trial.judgement.texts)
    losses = {"general_perplexity_loss": growth}
    if reference.answers:
        loss = mean_loss(reference.answers, trial.judgement.answers)
        losses = {"label_log_likelihood_loss": loss, **losses}
    return {
        "name": trial.name,
        "size_ratio": round(trial.weights_bytes / reference_bytes, 4),
        **{
            name: [round(value, 4) for value in (each.value, each.low, each.high)]
            for name, each in losses.items()
        },
        "seconds": round(trial.seconds, 1),
    }
