"""Objectives that no form can meet, by arithmetic alone."""

from dataclasses import dataclass

from modelmill_optimizer_builder.domain.cost import cost_per_1k_requests
from modelmill_optimizer_builder.domain.objectives import (
    COST,
    MEMORY,
    SIZE,
    Load,
    MeasuredObjective,
)

LEAST_BITS = 4
"""Of a weight, in any form that is served."""
MOST_BYTES_PER_SECOND = 10**12
"""More than the memory of any machine with one processor gives."""
BYTES_PER_MB = 10**6
BF16_BYTES = 2


@dataclass(frozen=True)
class WeightCounts:
    """Numbers of a model's weights."""

    parameters: int
    read_by_step: int
    """All but an embedding of its own, of which a step reads a row; 0 if unknown."""

    @property
    def bf16_bytes(self) -> int:
        """Of the weights in bf16."""
        return BF16_BYTES * self.parameters


def infeasible(
    objective: MeasuredObjective,
    load: Load,
    weights: WeightCounts,
    price_per_hour: float | None = None,
) -> str:
    """Why no candidate can meet the objective; empty if one may.

    Files and memory hold each weight. A request's tokens come one a step, and a step is no quicker
    than what it reads of the weights.

    Args:
        price_per_hour: Of the machine.
    """
    least_mb = weights.parameters * LEAST_BITS / 8 / BYTES_PER_MB
    if objective.name in (SIZE, MEMORY):
        if objective.value >= least_mb:
            return ""
        return (
            f"{weights.parameters:,} weights take {least_mb:.4g} MB even at {LEAST_BITS} bits "
            f"each, and the objective is {objective.value:g} MB. Ask for more, or for a smaller "
            "model"
        )
    step = weights.read_by_step * LEAST_BITS / 8 / MOST_BYTES_PER_SECOND
    bound = _timed_bound(objective, load, step, price_per_hour)
    if bound is None or objective.distance(bound) <= 0:
        return ""
    return (
        f"no machine reads weights quicker than {MOST_BYTES_PER_SECOND / 10**9:g} GB/s, by which "
        f"{objective.name} cannot be better than {bound:.3g} {objective.measure.unit}".rstrip()
        + ". Ask for less, or for a smaller model"
    )


def _timed_bound(
    objective: MeasuredObjective, load: Load, step: float, price_per_hour: float | None
) -> float | None:
    """The best that a figure can be if each step takes so many seconds; None for no bound."""
    if not step:
        return None
    answer = step * load.output_tokens
    match objective.name:
        case "p95_ms":
            return 1000 * answer
        case "first_token_ms":
            return 1000 * step
        case "tokens_per_s":
            return load.in_flight / step
        case name if name == COST and price_per_hour is not None:
            return cost_per_1k_requests(price_per_hour, load.in_flight / answer)
    return None
