"""Points of a search, and those of them that no other one beats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelmill_evaluation.pareto import on_frontier

from modelmill_optimizer_builder.domain.objectives import Figure, MeasuredObjective

SOURCE = "source"
"""Name of the candidate that is not built."""


@dataclass(frozen=True)
class Point:
    """A candidate that was built and measured."""

    form: str
    """`SOURCE`, or a form."""
    figures: Mapping[str, Figure]
    loss: Figure | None = None
    """Of correct answers, paired by row with bf16; None where nothing was scored."""
    agreement: float = 1.0
    """Share of golden positions whose likeliest token is that of the source."""
    contradictory: Mapping[str, str] = field(default_factory=dict)
    """Figures that repeated measurements do not agree on, and why."""
    seconds: float = 0.0
    """That it took to build and measure."""

    @property
    def quality_lost(self) -> float:
        """Lower is better: the loss, or the share of other tokens where nothing was scored."""
        return 1 - self.agreement if self.loss is None else self.loss.value

    @property
    def known_loss(self) -> float:
        """The measured loss; 0 where nothing was scored."""
        return 0.0 if self.loss is None else self.loss.value

    def loses_too_much(self, most: float) -> bool:
        """Whether its measured loss is above the limit."""
        return self.known_loss > most


def pareto_front(points: Sequence[Point], objective: MeasuredObjective) -> list[Point]:
    """Points that no other one beats in the objective's figure and quality, in their order."""
    is_best = on_frontier([_coordinates(point, objective) for point in points])
    return [point for point, best in zip(points, is_best, strict=True) if best]


def _coordinates(point: Point, objective: MeasuredObjective) -> tuple[float, float]:
    """Both lower is better. A gain is none beyond the source: it is chance, or another model."""
    distance = objective.distance(point.figures[objective.name].value)
    return distance, max(0.0, point.quality_lost)
