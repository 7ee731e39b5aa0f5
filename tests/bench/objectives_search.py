"""Searches on a table that was measured before, and what the whole table says of an objective."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from modelmill_optimizer_builder.domain.bounds import WeightCounts, infeasible
from modelmill_optimizer_builder.domain.cost_model import EarlierPoint
from modelmill_optimizer_builder.domain.measurements import LoadRepeat, figures_of
from modelmill_optimizer_builder.domain.objectives import (
    MEASURES,
    MEMORY,
    SIZE,
    Figure,
    Load,
    MeasuredObjective,
)
from modelmill_optimizer_builder.domain.pareto import Point
from modelmill_optimizer_builder.domain.search_report import SearchReport
from modelmill_optimizer_builder.order_candidates import next_form
from modelmill_optimizer_builder.search_forms import (
    BYTES_PER_MB,
    Built,
    SearchForms,
    SearchOrder,
)

from tests.bench.objectives_table import MOST_LOST, Row

PRICE_PER_HOUR = 1.0
NEAR = (0.97, 1.03)
"""Factors that put an objective within 5 % of a candidate's figure, on both sides."""
BEYOND = 0.8
"""Of the best figure: no candidate is as good, and arithmetic does not say so."""
MOST_BETWEEN = 2
IMPOSSIBLE = 1e-6
"""Of the best figure: arithmetic alone rules it out."""


@dataclass
class TableWorkshop:
    """`search_forms.Workshop` whose builds and repeats were made before; its clock adds up what
    they took."""

    rows: Mapping[str, Row]
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._given: dict[str, int] = {}

    async def build(self, form: str) -> Built:
        self.seconds += self.rows[form].build_seconds
        return self.rows[form].built

    async def repeat(self, form: str) -> LoadRepeat:
        row = self.rows[form]
        number = self._given.get(form, 0) % len(row.repeats)
        self._given[form] = number + 1
        self.seconds += row.repeat_seconds[number]
        return row.repeats[number]

    async def next(self, measured: Mapping[str, float], waiting: Mapping[str, float]) -> str:
        return next_form(measured, waiting)

    async def drop(self, _form: str) -> None:
        pass


def whole_points(table: Mapping[str, Row], load: Load) -> list[Point]:
    """Every candidate by all of its repeats."""
    return [whole_point(row, load) for row in table.values()]


def whole_point(row: Row, load: Load) -> Point:
    """A candidate by all of the row's repeats."""
    figures = figures_of(
        row.repeats,
        load,
        size_mb=row.built.size_bytes / BYTES_PER_MB,
        price_per_hour=PRICE_PER_HOUR,
    )
    return Point(row.form, figures, row.built.loss, row.built.agreement)


def generated(points: Sequence[Point]) -> list[MeasuredObjective]:
    """Objectives from a table: near candidates on both sides, between them, beyond all of them, and
    impossible ones."""
    allowed = [point for point in points if not point.loses_too_much(MOST_LOST)]
    return [
        MeasuredObjective(measure.name, value)
        for measure in MEASURES.values()
        for value in _values(
            [point.figures[measure.name].value for point in allowed], measure.higher_is_better
        )
    ]


def _values(figures: Sequence[float], higher_is_better: bool) -> list[float]:
    """Values of one figure that objectives ask for."""
    ordered = sorted(set(figures), reverse=higher_is_better)
    best, better = ordered[0], -1 if higher_is_better else 1
    between = [(one + other) / 2 for one, other in pairwise(ordered)]
    near = [factor * value for value in ordered[:2] for factor in NEAR]
    return [*near, *between[:MOST_BETWEEN], best * BEYOND**better, best * IMPOSSIBLE**better]


def truth(
    points: Sequence[Point], objective: MeasuredObjective, weights: WeightCounts, load: Load
) -> str:
    """The verdict that the whole table gives, by its values without their intervals."""
    if infeasible(objective, load, weights, PRICE_PER_HOUR):
        return "infeasible"
    for point in points:
        exact = Figure.exact(point.figures[objective.name].value)
        if objective.is_met_by(exact) and not point.loses_too_much(MOST_LOST):
            return "met"
    return "not_met"


@dataclass(frozen=True)
class Found:
    """What a search said of an objective."""

    verdict: str
    report: SearchReport | None
    """None where it was refused before any work."""
    seconds: float
    chosen: Figure | None = None
    """What the search says of the point that it chose."""
    again: Figure | None = None
    """What the rounds that it did not see say of it."""
    by_seen: str = "infeasible"
    """The verdict of all candidates by the rounds that it saw."""


async def searched(
    table: Mapping[str, Row],
    unseen: Mapping[str, Row],
    objective: MeasuredObjective,
    weights: WeightCounts,
    load: Load,
    earlier: Sequence[EarlierPoint],
) -> Found:
    """A search on the table, without a limit of time; the unseen rows measure its choice again."""
    if infeasible(objective, load, weights, PRICE_PER_HOUR):
        return Found("infeasible", None, 0.0)
    workshop = TableWorkshop(table)
    order = SearchOrder(
        objective=objective,
        load=load,
        most_lost=MOST_LOST,
        budget_seconds=float("inf"),
        price_per_hour=PRICE_PER_HOUR,
        weights_bytes=weights.bf16_bytes,
        forms=tuple(form for form in table if form != "source"),
        refused={},
        earlier=tuple(earlier),
    )
    report = await SearchForms(workshop)(order)
    chosen: Point = report.verdict.chosen
    again = whole_point(unseen[chosen.form], load)
    return Found(
        report.verdict.word,
        report,
        workshop.seconds,
        chosen.figures[objective.name],
        again.figures[objective.name],
        truth(whole_points(table, load), objective, weights, load),
    )


def is_exact(objective: MeasuredObjective) -> bool:
    """Whether its figure is no measurement, or is one value a repeat."""
    return objective.name in (SIZE, MEMORY)
