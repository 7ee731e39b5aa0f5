"""Metrics of suites and slices, for one model or for two on the same rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from modelmill_evaluation.groups import (
    ANSWER,
    LENGTH,
    SCRIPT,
    grouped,
    length_label,
    script_label,
    value_label,
)
from modelmill_evaluation.intervals import (
    Comparison,
    Statistics,
    Task,
    compare,
    estimate,
    mean_comparison,
    mean_estimate,
)
from modelmill_evaluation.scores import Measure, RowOutcome, measure_of
from numpy.typing import NDArray

from modelmill_trainer.domain.evaluation_plan import (
    DATASET_SUITE,
    EvaluationPlan,
    Slice,
    why_no_mean,
)
from modelmill_trainer.evaluating.items import Item, Suite

Figures = dict[str, Any]
SIDES = ("model", "compare_to")


@dataclass(frozen=True)
class MeasuredSuite:
    """A suite with row outcomes and per-metric statistics of each model."""

    suite: Suite
    outcomes: Sequence[Sequence[RowOutcome]]
    """Per model, in row order."""
    statistics: Mapping[str, Sequence[Statistics]]
    """By metric, per model."""

    @classmethod
    def of(cls, suite: Suite, outcomes: Sequence[Sequence[RowOutcome]]) -> "MeasuredSuite":
        """Compute the statistics once; slices select from them."""
        statistics = {
            name: [measure_of(name).statistics(rows) for rows in outcomes]
            for name in suite.measures
        }
        return cls(suite, outcomes, statistics)

    def figures(
        self, plan: EvaluationPlan, on_progress: Callable[[], None] = lambda: None
    ) -> Figures:
        """Metrics of all rows and of each group of each slice.

        Args:
            on_progress: Called after the full table, and after each slice.
        """
        measured = self._measured(np.arange(len(self.suite.items)), plan)
        on_progress()
        slices = {}
        for each in plan.slices:
            slices[each.by] = self._sliced(each, plan)
            on_progress()
        return {
            "name": self.suite.name,
            "rows": len(self.suite.items),
            "rows_in_all": self.suite.rows,
            "skipped": self.suite.skipped,
            "first_skipped": self.suite.first_skipped,
            "measures": measured,
            "shown": [name for name in measured if name in (self.suite.shown or measured)],
            "slices": slices,
        }

    def row_values(self, name: str, side: int) -> list[float | None]:
        """A metric's value for each row; None where it is undefined."""
        statistics = self.statistics[name][side]
        if not len(statistics.distinct):
            return [None] * len(statistics.of_row)
        values = measure_of(name).row_values(statistics.distinct).tolist()
        return [values[place] if place >= 0 else None for place in statistics.of_row.tolist()]

    def row_groups(self, plan: EvaluationPlan) -> dict[str, list[str]]:
        """The group of each row, by slice."""
        groups = {}
        for each in plan.slices:
            labels = [""] * len(self.suite.items)
            for label, places in self._places(each).items():
                for place in places:
                    labels[place] = label
            groups[each.by] = labels
        return groups

    def _sliced(self, each: Slice, plan: EvaluationPlan) -> Figures:
        return {
            label: {"rows": len(places), "measures": self._measured(np.array(places), plan)}
            for label, places in self._places(each).items()
        }

    def _places(self, each: Slice) -> Mapping[str, Sequence[int]]:
        return grouped([_label(item, each) for item in self.suite.items])

    def _measured(self, rows: NDArray[np.int64], plan: EvaluationPlan) -> Figures:
        figures = {}
        for name, sides in self.statistics.items():
            found = _figures(measure_of(name), [each.of(rows) for each in sides], plan)
            if found:
                figures[name] = found
        return figures


def suite_figures(measured: Sequence[MeasuredSuite], plan: EvaluationPlan) -> Figures | None:
    """The mean over the tasks of a suite, each by the first of its metrics; None without a
    suite."""
    if plan.suite is None:
        return None
    tasks = [each for each in measured if each.suite.name != DATASET_SUITE]
    metric_of = {each.suite.name: each.suite.measures[0] for each in tasks}
    reason = why_no_mean(plan.suite, metric_of)
    mean = {} if reason else _mean_figures(tasks, plan)
    return {**plan.suite.as_json(), "metrics": metric_of, "mean": mean, "without_mean": reason}


def _mean_figures(tasks: Sequence[MeasuredSuite], plan: EvaluationPlan) -> Figures:
    draws: dict[str, int] = {"seed": plan.seed, "resamples": plan.resamples}
    sides = [_first_metrics(tasks, side) for side in range(len(tasks[0].outcomes))]
    found = {name: mean_estimate(each, **draws) for name, each in zip(SIDES, sides, strict=False)}
    figures = {name: asdict(each) for name, each in found.items() if each is not None}
    both = mean_comparison(sides[0], sides[1], **draws) if len(sides) == len(SIDES) else None
    return figures | ({"comparison": _compared(both)} if both is not None else {})


def _first_metrics(tasks: Sequence[MeasuredSuite], side: int) -> list[Task]:
    return [
        (measure_of(name), each.statistics[name][side])
        for each in tasks
        for name in each.suite.measures[:1]
    ]


def _compared(both: Comparison) -> Figures:
    return {**asdict(both), "is_clear": both.is_clear}


def _figures(measure: Measure, sides: Sequence[Statistics], plan: EvaluationPlan) -> Figures:
    draws: dict[str, int] = {"seed": plan.seed, "resamples": plan.resamples}
    figures: Figures = {}
    for name, statistics in zip(SIDES, sides, strict=False):
        found = estimate(measure, statistics, **draws)
        if found is not None:
            figures[name] = asdict(found)
    if len(sides) == len(SIDES):
        both = compare(measure, sides[0], sides[1], **draws)
        if both is not None:
            figures["comparison"] = _compared(both)
    return figures


def _label(item: Item, each: Slice) -> str:
    if each.by == LENGTH:
        return length_label(item.prompt.content, each.edges)
    if each.by == SCRIPT:
        return script_label(item.prompt.content)
    if each.by == ANSWER:
        return value_label(item.reference)
    return value_label(item.columns.get(each.by))
