"""Early-stopping limits of a run, and the price of the machine."""

from dataclasses import asdict, dataclass
from math import isfinite

from modelmill_service_kit.errors import InvalidInputError

from modelmill_trainer.domain.json_value import JsonValue

MAX_SECONDS, MAX_COST = "max_seconds", "max_cost"
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class TrainingLimits(JsonValue):
    """Limits of one run; 0 means no limit."""

    max_seconds: float = 0.0
    """Working time over all attempts; the weights at that point are the result."""
    max_cost: float = 0.0
    """Cost over all attempts, in the operator's currency."""
    evaluation_steps: int = 0
    """Steps between validations; 0 for a tenth of the run if `patience` or a validation dataset is
    set."""
    patience: int = 0
    """Validations without improvement before training stops; the best weights are the result."""
    min_improvement: float = 0.0
    """Smallest decrease of the loss that counts as an improvement."""

    def reached(self, work_seconds: float, cost: float) -> str:
        """Name of the limit that a run has reached; empty for none."""
        if self.max_seconds and work_seconds >= self.max_seconds:
            return MAX_SECONDS
        if self.max_cost and cost >= self.max_cost:
            return MAX_COST
        return ""


@dataclass(frozen=True, kw_only=True)
class MachinePrice:
    """The operator's price for a core or GPU hour."""

    per_hour: float = 0.0
    """Per core, or per GPU if there is one."""
    currency: str = ""

    def of(self, seconds: float, units: int) -> float:
        """Cost of `units` cores or GPUs for `seconds`."""
        return self.per_hour * units * seconds / SECONDS_PER_HOUR


def check_limits(limits: TrainingLimits, *, has_price: bool) -> None:
    """Raises InvalidInputError with every error."""
    errors = [
        f"limits.{name} must be a number from 0, got {value:g}"
        for name, value in asdict(limits).items()
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
