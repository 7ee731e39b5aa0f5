"""What an experiment compares, by what it decides, and how often it may be wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelmill_experiments.metrics import METRICS

BASE = "base"
"""Name of the arm that the others are compared with."""
ALWAYS = "errors"
"""Guardrail of every experiment: a version that fails is never promoted."""


class PlanError(ValueError):
    """It cannot be run; the message names the field and the remedy."""


@dataclass(frozen=True)
class Plan:
    """An experiment, as it is fixed before its first answer.

    Attributes:
        shares: Of keys, by arm; the first is `base`, the others are candidates. They sum to 1.
        primary: Metric that must be better for a promotion.
        guardrails: Metrics that must not be worse by more than `max_harm`, for a promotion and
            for a candidate to stay.
        alpha: Chance at most that a candidate that is no better is promoted, or one that is not
            worse by more than it may be is rolled back; each has half of it.
        max_harm: By metric: what may be lost; see `Scale` for its unit. Others have the metric's.
        horizon: Keys after which the experiment ends without a winner.
        may_promote: False where a version is only watched, as after its promotion.
    """

    shares: Mapping[str, float]
    primary: str
    guardrails: Sequence[str] = ()
    alpha: float = 0.05
    max_harm: Mapping[str, float] = field(default_factory=dict)
    horizon: int = 10_000
    may_promote: bool = True

    def __post_init__(self) -> None:
        if next(iter(self.shares), None) != BASE or len(self.shares) < 2:
            raise PlanError(f"shares: name {BASE!r} first, then at least one candidate")
        if min(self.shares.values()) <= 0 or abs(sum(self.shares.values()) - 1.0) > 1e-6:
            raise PlanError("shares: give each arm more than 0, and 1 together")
        for name in (self.primary, *self.guardrails, *self.max_harm):
            if name not in METRICS:
                raise PlanError(f"no metric {name!r}; there are {', '.join(METRICS)}")
        if not 0 < self.alpha <= 0.5:
            raise PlanError(f"alpha: {self.alpha} is not above 0 and at most 0.5")
        if wrong := [name for name, harm in self.max_harm.items() if not 0 < harm < 1]:
            raise PlanError(f"max_harm: that of {wrong[0]} is not between 0 and 1")
        if self.horizon < 1:
            raise PlanError("horizon: give at least one key")

    @property
    def candidates(self) -> tuple[str, ...]:
        """Every arm but the base."""
        return tuple(self.shares)[1:]

    @property
    def watched(self) -> tuple[str, ...]:
        """Metrics by which a candidate can be rolled back."""
        return tuple(dict.fromkeys((self.primary, *self.guardrails, ALWAYS)))

    def harm(self, metric: str) -> float:
        """What may be lost of it."""
        return self.max_harm.get(metric, METRICS[metric].max_harm)
