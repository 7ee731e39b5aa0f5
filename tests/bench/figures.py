"""What a run finds: lines of the table, and lines that it refuses to print."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MOST_FLOOR_VARIATION = 0.10
"""A floor that varies more between rounds says that somebody else used the machine."""
RESAMPLES = 10_000

Figures = Mapping[str, float]
"""What one turn of one contestant measured, by name."""


@dataclass(frozen=True)
class Entry:
    """One line of the table. `ratio` is ours over `against`; `met` is None without a goal."""

    id: str
    value: float
    unit: str
    against: str
    ratio: float
    goal: str
    met: bool | None
    ci95: tuple[float, float]
    """Of the ratio."""
    note: str


def all_of(name: str, right: int, whole: int, unit: str, *, least: int, note: str) -> Entry:
    """A count whose goal is all there are, and at least `least`; its interval is a point."""
    share = right / whole
    return Entry(
        id=name,
        value=right,
        unit=unit,
        against="those there are",
        ratio=share,
        goal=f">= {least}, and all",
        met=right == whole >= least,
        ci95=(share, share),
        note=f"{right} of {whole}: {note}",
    )


@dataclass(frozen=True)
class Unmeasured:
    """A line that would mean nothing."""

    id: str
    reason: str
    is_absence: bool = False
    """A rival is not installed: to be said, but no fault of the run."""


Line = Entry | Unmeasured


@dataclass(frozen=True)
class Goal:
    """A bound on the ratio or, with `of_value`, on our own value."""

    limit: float
    at_least: bool = False
    of_value: bool = False

    def text(self, unit: str) -> str:
        """As the table shows it."""
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.limit:g} {unit}" if self.of_value else f"ratio {sign} {self.limit:g}"

    def is_met(self, *, value: float, ratio: float) -> bool:
        """Whether the bound holds."""
        measured = value if self.of_value else ratio
        return measured >= self.limit if self.at_least else measured <= self.limit


def _why_not(variation: float, seen: str) -> str:
    return f"not measured: floor varies by {variation:.0%}; saw {seen}"


def _figure(value: float, unit: str, ratio: tuple[float, float, float]) -> str:
    """In words, for whoever must decide whether to measure again."""
    return "{:.4g} {}, ratio {:.3g} ({:.3g} .. {:.3g})".format(value, unit, *ratio)


class Rounds:
    """What every contestant measured in each round, the warm-up left out."""

    def __init__(self, turns: Mapping[str, Sequence[Figures]], *, enforce: bool) -> None:
        self._turns = turns
        self._enforce = enforce

    def turns(self, contestant: str) -> Sequence[Figures]:
        """All that it measured, round by round."""
        return self._turns[contestant]

    def series(self, contestant: str, figure: str) -> list[float]:
        """One figure, round by round."""
        return [turn[figure] for turn in self._turns[contestant]]

    def median(self, contestant: str, figure: str) -> float:
        """The middle one of a series."""
        return statistics.median(self.series(contestant, figure))

    def variation(self, figure: str, contestant: str = "floor") -> float:
        """Coefficient of variation over the rounds."""
        series = self.series(contestant, figure)
        return statistics.stdev(series) / statistics.mean(series)

    def is_unsteady(self, figures: Sequence[str]) -> bool:
        """Whether the floor varied too much in any of the figures."""
        return any(self.variation(figure) > MOST_FLOOR_VARIATION for figure in figures)

    def ratio(self, figure: str, over: str) -> tuple[float, float, float]:
        """Median of the paired ratios of ours, and its bootstrap 95 % interval."""
        ratios = np.asarray(self.series("ours", figure)) / np.asarray(self.series(over, figure))
        draws = np.random.default_rng(0).choice(ratios, size=(RESAMPLES, len(ratios)))
        low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
        return float(np.median(ratios)), float(low), float(high)

    def line(
        self,
        entry_id: str,
        figure: str,
        *,
        unit: str,
        against: str,
        goal: Goal | None,
        note: str,
        over: str = "floor",
        floor_figure: str = "",
        judged_by: str = "floor",
        value: float | None = None,
    ) -> Line:
        """The entry of one figure, or why there is none.

        Args:
            over: what ours is divided by.
            floor_figure: tells whether `judged_by` was steady; by default the same.
            value: shown instead of our median.
        """
        variation = self.variation(floor_figure or figure, judged_by)
        shown = self.median("ours", figure) if value is None else value
        ratio, low, high = paired = self.ratio(figure, over)
        if variation > MOST_FLOOR_VARIATION:
            note = f"floor varies by {variation:.0%}; {note}"
            if self._enforce:
                return Unmeasured(entry_id, _why_not(variation, _figure(shown, unit, paired)))
        return Entry(
            id=entry_id,
            value=shown,
            unit=unit,
            against=against,
            ratio=ratio,
            goal="" if goal is None else goal.text(unit),
            met=None if goal is None else goal.is_met(value=shown, ratio=ratio),
            ci95=(low, high),
            note=note,
        )
