"""Objectives of a search, in the units that users pay in, and the load that they hold under."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite

from modelmill_service_kit.nearest import did_you_mean

DEFAULT_BUDGET_SECONDS = 1800
LEAST_BUDGET_SECONDS = 60
MOST_BUDGET_SECONDS = 7 * 24 * 3600
MOST_LOAD: Mapping[str, int] = {"prompt_tokens": 32768, "output_tokens": 4096, "in_flight": 256}


@dataclass(frozen=True)
class FigureKind:
    """A figure of a model under a load."""

    name: str
    unit: str
    words: str
    """What it is, for people."""
    higher_is_better: bool = False


_ALL = (
    FigureKind("p95_ms", "ms", "whole answer, 95 of 100 requests"),
    FigureKind("first_token_ms", "ms", "first token, median"),
    FigureKind("tokens_per_s", "tokens/s", "answer tokens of all requests", higher_is_better=True),
    FigureKind("size_mb", "MB", "the model's files"),
    FigureKind("memory_mb", "MB", "memory of the engine's process"),
    FigureKind("cost_per_1k_requests", "", "price of a thousand requests"),
)
MEASURES: Mapping[str, FigureKind] = {measure.name: measure for measure in _ALL}
COST = "cost_per_1k_requests"
SIZE = "size_mb"
MEMORY = "memory_mb"
P95 = "p95_ms"
TIMED = (P95, "first_token_ms", "tokens_per_s")


@dataclass(frozen=True)
class Load:
    """Requests under which a model is measured: all begun together, again and again."""

    prompt_tokens: int = 128
    output_tokens: int = 64
    in_flight: int = 1

    def as_json(self) -> dict[str, int]:
        """Plain values for a report and a child."""
        return asdict(self)

    def errors(self) -> list[str]:
        """What is out of bounds."""
        return [
            f"load.{name} must be within 1 and {most}, got {getattr(self, name)}"
            for name, most in MOST_LOAD.items()
            if not 1 <= getattr(self, name) <= most
        ]


@dataclass(frozen=True)
class Figure:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> "Figure":
        """A value that needs no measurement."""
        return cls(value, value, value)

    def overlaps(self, other: "Figure") -> bool:
        """Whether both may be the same value."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class MeasuredObjective:
    """A value that a figure shall reach: at most, or at least where higher is better."""

    name: str
    value: float

    @property
    def measure(self) -> FigureKind:
        """The figure."""
        return MEASURES[self.name]

    def is_met_by(self, figure: Figure) -> bool | None:
        """Whether it is reached with the whole interval; None where the interval holds both."""
        worst, best = self._ends(figure)
        if self._reaches(worst):
            return True
        return None if self._reaches(best) else False

    def distance(self, value: float) -> float:
        """How far a value is from it, as a share of it; negative beyond it."""
        share = value / self.value
        return 1 - share if self.measure.higher_is_better else share - 1

    def words(self) -> str:
        """As a person would say it."""
        bound = "at least" if self.measure.higher_is_better else "at most"
        return f"{self.name} {bound} {self.value:g} {self.measure.unit}".rstrip()

    def _reaches(self, value: float) -> bool:
        return value >= self.value if self.measure.higher_is_better else value <= self.value

    def _ends(self, figure: Figure) -> tuple[float, float]:
        """The worst and the best end of an interval."""
        ends = (figure.high, figure.low)
        return (ends[1], ends[0]) if self.measure.higher_is_better else ends


def objective_errors(name: str | None, value: float, *, has_price: bool) -> list[str]:
    """Errors of an objective that need no lookup.

    Args:
        name: Of the figure; None where none is given.
        has_price: Whether the service knows what its machine costs.
    """
    if name is None or name not in MEASURES:
        near = did_you_mean(name or "", MEASURES)
        return [f"objective names no figure.{near} Give one of {', '.join(MEASURES)}"]
    errors = []
    if not isfinite(value) or value <= 0:
        errors.append(f"objective.{name} must be above 0, got {value:g}")
    if name == COST and not has_price:
        errors.append(
            f"objective.{COST} needs a price of the machine, and the service knows none. "
            "Its operator sets OPTIMIZER_BUILDER_MACHINE_PRICE_PER_HOUR"
        )
    return errors


def budget_errors(seconds: int) -> list[str]:
    """That a search has too little or too much time."""
    if LEAST_BUDGET_SECONDS <= seconds <= MOST_BUDGET_SECONDS:
        return []
    return [
        f"budget_seconds must be within {LEAST_BUDGET_SECONDS} and {MOST_BUDGET_SECONDS}, "
        f"got {seconds}: no candidate is built and measured in less"
    ]
