"""Use case: search the forms of a model for one that meets an objective, within a time budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelmill_optimizer_builder.domain.cost_model import (
    CostModel,
    EarlierPoint,
    badness,
    expected_seconds,
)
from modelmill_optimizer_builder.domain.measurements import LoadRepeat, contradictions, figures_of
from modelmill_optimizer_builder.domain.objectives import Figure, Load, MeasuredObjective
from modelmill_optimizer_builder.domain.pareto import SOURCE, Point, pareto_front
from modelmill_optimizer_builder.domain.search_report import SearchReport
from modelmill_optimizer_builder.domain.verdicts import decide, meeting

REPEATS = 2
MOST_REPEATS = 4
"""Of a candidate whose interval holds the objective, or whose repeats contradict each other."""
BYTES_PER_MB = 10**6


class CandidateRefusedError(Exception):
    """A candidate that cannot be built of this model; the others may."""


class BudgetTooShortError(Exception):
    """The time budget does not suffice for a single candidate; the message says for what."""


@dataclass(frozen=True)
class Built:
    """A candidate as its build measured it."""

    size_bytes: int
    loss: Figure | None
    agreement: float


class Workshop(Protocol):
    """Builds and measures the candidates of one search."""

    @property
    def seconds(self) -> float:
        """That the search has taken so far."""

    async def build(self, form: str) -> Built:
        """Build a form, score it and keep it.

        Raises:
            CandidateRefusedError: It cannot be built of this model.
        """

    async def repeat(self, form: str) -> LoadRepeat:
        """Measure a kept candidate, or the source, under the load in a fresh process."""

    async def next(self, measured: Mapping[str, float], waiting: Mapping[str, float]) -> str:
        """The form to try next, of those that wait.

        Args:
            measured: How far candidates are from what is asked for, by form; 0 is there.
            waiting: The same, as it is expected of the others.
        """

    async def drop(self, form: str) -> None:
        """Free the space of a candidate that will not be registered."""


@dataclass(frozen=True)
class SearchOrder:
    """What to search for, and among which forms."""

    objective: MeasuredObjective
    load: Load
    most_lost: float
    budget_seconds: float
    price_per_hour: float | None
    weights_bytes: int
    """Of the source in bf16."""
    forms: tuple[str, ...]
    """Candidates beside the source."""
    refused: Mapping[str, str]
    """Forms that are none, and why."""
    earlier: tuple[EarlierPoint, ...] = ()
    is_exhaustive: bool = False
    """Whether every candidate is measured, whatever was found before."""


class SearchForms:
    """Measures the source first, then one candidate after another until one meets the objective."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    async def __call__(self, order: SearchOrder) -> SearchReport:
        """Search; candidates that another one beats are dropped at once.

        Raises:
            BudgetTooShortError: There is no time for any candidate.
        """
        self._refuse_short_budget(order)
        source = Built(order.weights_bytes, Figure.exact(0), agreement=1)
        points = [await self._measured(order, SOURCE, source, began=0.0)]
        model = CostModel(order.earlier, points[0], order.weights_bytes, order.load)
        untried = dict(order.refused)
        waiting = list(order.forms)
        while waiting := self._worth_trying(order, points, model, waiting, untried):
            form = await self._next(order, points, model, waiting)
            waiting.remove(form)
            began = self._workshop.seconds
            try:
                built = await self._workshop.build(form)
            except CandidateRefusedError as error:
                untried[form] = str(error)
                continue
            points.append(await self._measured(order, form, built, began))
            await self._drop_beaten(order, points)
        return SearchReport(
            objective=order.objective,
            load=order.load,
            most_lost=order.most_lost,
            points=tuple(points),
            untried=untried,
            verdict=decide(points, order.objective, order.most_lost, untried),
            weights_bytes=order.weights_bytes,
            price_per_hour=order.price_per_hour,
            seconds=self._workshop.seconds,
        )

    def _refuse_short_budget(self, order: SearchOrder) -> None:
        least = min(
            (expected_seconds(order.earlier, form, order.weights_bytes) for form in order.forms),
            default=0.0,
        )
        if least > order.budget_seconds:
            raise BudgetTooShortError(
                f"the quickest candidate is expected to take {least:.0f} s to build and measure, "
                f"and the budget is {order.budget_seconds:.0f} s"
            )

    def _worth_trying(
        self,
        order: SearchOrder,
        points: Sequence[Point],
        model: CostModel,
        waiting: Sequence[str],
        untried: dict[str, str],
    ) -> list[str]:
        """Of those that wait; why the others are left out is added to `untried`."""
        if order.is_exhaustive:
            return list(waiting)
        if meeting(points, order.objective, order.most_lost):
            untried.update(dict.fromkeys(waiting, "the objective was met before"))
            return []
        left = order.budget_seconds - self._workshop.seconds
        found = []
        for form in waiting:
            seconds = model.expected(form).seconds
            if reason := model.ruled_out(form, order.objective):
                untried[form] = reason
            elif seconds > left:
                untried[form] = (
                    f"it is expected to take {seconds:.0f} s, and {max(0.0, left):.0f} s of the "
                    "budget are left"
                )
            else:
                found.append(form)
        return found

    async def _next(
        self,
        order: SearchOrder,
        points: Sequence[Point],
        model: CostModel,
        waiting: Sequence[str],
    ) -> str:
        if len(waiting) == 1:
            return waiting[0]
        objective, most = order.objective, order.most_lost
        measured = {
            point.form: badness(
                objective.distance(point.figures[objective.name].value), point.known_loss, most
            )
            for point in points
        }
        expected = {form: model.badness(form, objective, most) for form in waiting}
        if enough := [form for form in waiting if not expected[form]]:
            # Any of them would end the search.
            return min(enough, key=lambda form: model.expected(form).seconds)
        return await self._workshop.next(measured, expected)

    async def _measured(self, order: SearchOrder, form: str, built: Built, began: float) -> Point:
        repeats = [await self._workshop.repeat(form) for _ in range(REPEATS)]
        while True:
            figures = figures_of(
                repeats,
                order.load,
                size_mb=built.size_bytes / BYTES_PER_MB,
                price_per_hour=order.price_per_hour,
            )
            doubts = contradictions(repeats, order.load)
            is_open = order.objective.is_met_by(figures[order.objective.name]) is None
            if len(repeats) == MOST_REPEATS or not (doubts or is_open):
                break
            repeats.append(await self._workshop.repeat(form))
        return Point(
            form=form,
            figures=figures,
            loss=built.loss,
            agreement=built.agreement,
            contradictory=doubts,
            seconds=self._workshop.seconds - began,
        )

    async def _drop_beaten(self, order: SearchOrder, points: Sequence[Point]) -> None:
        kept = {point.form for point in registered(points, order)}
        for point in points:
            if point.form not in kept:
                await self._workshop.drop(point.form)


def registered(points: Sequence[Point], order: SearchOrder) -> list[Point]:
    """Points that would be registered if the search ended now."""
    chosen = decide(points, order.objective, order.most_lost, {}).chosen
    front = pareto_front(points, order.objective)
    return front if chosen in front else [*front, chosen]
