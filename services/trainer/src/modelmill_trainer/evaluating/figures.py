"""The figures of suites and their slices, of one model or of two side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from modelmill_evaluation.bootstrap import compare, estimate
from modelmill_evaluation.groups import (
    ANSWER,
    LENGTH,
    SCRIPT,
    grouped,
    length_label,
    script_label,
    value_label,
)
from modelmill_evaluation.row_outcome import RowOutcome
from modelmill_evaluation.scores import Measure, measure_of
from modelmill_evaluation.statistics import Statistics
from numpy.typing import NDArray

from modelmill_trainer.domain.evaluation_plan import EvaluationPlan, Slice
from modelmill_trainer.evaluating.items import Item, Suite

Figures = dict[str, Any]
SIDES = ("model", "compare_to")


@dataclass(frozen=True)
class MeasuredSuite:
    """A suite, what each model made of it, and the statistics of each measure and model."""

    suite: Suite
    outcomes: Sequence[Sequence[RowOutcome]]
    """Of each model, row by row."""
    statistics: Mapping[str, Sequence[Statistics]]
    """By measure, of each model."""

    @classmethod
    def of(cls, suite: Suite, outcomes: Sequence[Sequence[RowOutcome]]) -> "MeasuredSuite":
        """Compute the statistics, once for all slices."""
        statistics = {
            name: [measure_of(name).statistics(rows) for rows in outcomes]
            for name in suite.measures
        }
        return cls(suite, outcomes, statistics)

    def figures(
        self, plan: EvaluationPlan, on_progress: Callable[[], None] = lambda: None
    ) -> Figures:
        """Of all rows, and of each slice's groups.

        Args:
            on_progress: Called after all rows, and after each slice.
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
        """How good each row is on its own, by a measure."""
        statistics = self.statistics[name][side]
        if not len(statistics.distinct):
            return [None] * len(statistics.of_row)
        values = measure_of(name).row_values(statistics.distinct).tolist()
        return [values[place] if place >= 0 else None for place in statistics.of_row.tolist()]

    def _sliced(self, each: Slice, plan: EvaluationPlan) -> Figures:
        labels = [_label(item, each) for item in self.suite.items]
        return {
            label: {"rows": len(places), "measures": self._measured(np.array(places), plan)}
            for label, places in grouped(labels).items()
        }

    def _measured(self, rows: NDArray[np.int64], plan: EvaluationPlan) -> Figures:
        figures = {}
        for name, sides in self.statistics.items():
            found = _figures(measure_of(name), [each.of(rows) for each in sides], plan)
            if found:
                figures[name] = found
        return figures


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
            figures["comparison"] = {**asdict(both), "is_clear": both.is_clear}
    return figures


def _label(item: Item, each: Slice) -> str:
    if each.by == LENGTH:
        return length_label(item.prompt.says, each.edges)
    if each.by == SCRIPT:
        return script_label(item.prompt.says)
    if each.by == ANSWER:
        return value_label(item.reference)
    return value_label(item.columns.get(each.by))
