"""Verdict of a search: whether its objective is met, and by which point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modelmill_optimizer_builder.domain.objectives import MeasuredObjective
from modelmill_optimizer_builder.domain.pareto import Point

Word = Literal["met", "not_met", "infeasible", "anomalous"]


@dataclass(frozen=True)
class Verdict:
    """What a search found."""

    word: Word
    chosen: Point
    """The point that meets the objective, or the nearest to it."""
    reason: str


def meeting(
    points: Sequence[Point], objective: MeasuredObjective, most_lost: float
) -> Point | None:
    """The point to choose among those that meet the objective and lose no more than allowed.

    The least loss first: what is faster than asked for is worth no answers.
    """
    able = [
        point
        for point in points
        if objective.is_met_by(point.figures[objective.name])
        and not point.loses_too_much(most_lost)
    ]
    return min(able, key=lambda it: (max(0.0, it.quality_lost), _far(it, objective)), default=None)


def decide(
    points: Sequence[Point],
    objective: MeasuredObjective,
    most_lost: float,
    untried: Mapping[str, str],
) -> Verdict:
    """The verdict of the points that were measured, of which one is the source.

    Args:
        untried: Candidates that were not measured, and why.
    """
    if chosen := meeting(points, objective, most_lost):
        figure = chosen.figures[objective.name]
        return Verdict(
            "met", chosen, f"{chosen.form} has {figure.value:.4g} ({_interval(chosen, objective)})"
        )
    allowed = [point for point in points if not point.loses_too_much(most_lost)]
    nearest = min(allowed, key=lambda it: (_far(it, objective), it.quality_lost))
    if doubtful := [point for point in allowed if _may_meet(point, objective)]:
        words = "; ".join(f"{it.form}: {it.contradictory[objective.name]}" for it in doubtful)
        return Verdict("anomalous", nearest, f"measurements contradict each other: {words}")
    return Verdict("not_met", nearest, _why_not(points, nearest, objective, most_lost, untried))


def _may_meet(point: Point, objective: MeasuredObjective) -> bool:
    """Whether contradictory measurements leave it open that the objective is met."""
    is_contradictory = objective.name in point.contradictory
    return is_contradictory and objective.is_met_by(point.figures[objective.name]) is None


def _why_not(
    points: Sequence[Point],
    nearest: Point,
    objective: MeasuredObjective,
    most_lost: float,
    untried: Mapping[str, str],
) -> str:
    figure = nearest.figures[objective.name]
    found = f"{figure.value:.4g} ({_interval(nearest, objective)})"
    said = [f"the nearest is {nearest.form} with {found}"]
    if objective.is_met_by(figure) is None:
        said.append("its interval holds the objective")
    quick = [it for it in points if objective.is_met_by(it.figures[objective.name])]
    if lossy := [it.form for it in quick if it.loses_too_much(most_lost)]:
        said.append(f"{', '.join(lossy)} would, but loses more than the {most_lost:.1%} allowed")
    said += [f"{form} was not tried: {why}" for form, why in untried.items()]
    return "; ".join(said)


def _interval(point: Point, objective: MeasuredObjective) -> str:
    figure = point.figures[objective.name]
    return f"{figure.low:.4g} to {figure.high:.4g}"


def _far(point: Point, objective: MeasuredObjective) -> float:
    """How far it is from the objective; negative beyond it."""
    return objective.distance(point.figures[objective.name].value)
