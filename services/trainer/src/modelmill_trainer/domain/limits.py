"""When a run ends before its plan does, and what it is charged with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

MAX_SECONDS, MAX_COST = "max_seconds", "max_cost"
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class TrainingLimits:
    """A run's own; 0 means none."""

    max_seconds: float = 0.0
    """Of work, all attempts together; the weights so far are the result."""
    max_cost: float = 0.0
    """In the currency that the operator has set, all attempts together."""
    evaluation_steps: int = 0
    """Steps between two measures of the valid split; 0 for a tenth of the run when `patience` or a
    dataset to validate on asks for them."""
    patience: int = 0
    """Measures without a better loss after which training stops; the best weights are the
    result."""
    min_improvement: float = 0.0
    """What counts as better."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TrainingLimits":
        """Read what `as_json` wrote."""
        return cls(**document)

    def reached(self, work_seconds: float, cost: float) -> str:
        """Which of them a run has reached; empty for none."""
        if self.max_seconds and work_seconds >= self.max_seconds:
            return MAX_SECONDS
        if self.max_cost and cost >= self.max_cost:
            return MAX_COST
        return ""


@dataclass(frozen=True, kw_only=True)
class Price:
    """What the operator asks for the machine."""

    per_hour: float = 0.0
    """Of one core, or of one GPU where there is one."""
    currency: str = ""

    def of(self, seconds: float, units: int) -> float:
        """Of so many cores or GPUs for so long."""
        return self.per_hour * units * seconds / SECONDS_PER_HOUR


def check_limits(limits: TrainingLimits, *, has_price: bool) -> None:
    """Raises InvalidInputError with everything that is wrong with them."""
    errors = [
        f"limits.{name} must be a number from 0, got {value:g}"
        for name, value in limits.as_json().items()
        if not (isfinite(value) and value >= 0)
    ]
    if limits.max_cost and not has_price:
        errors.append(
            "limits.max_cost needs a price, and the operator has set none. Use limits.max_seconds"
        )
    if limits.min_improvement and not limits.patience:
        errors.append("limits.min_improvement has no meaning without limits.patience")
    if errors:
        raise InvalidInputError(errors)
