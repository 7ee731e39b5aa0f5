"""Cost model of a search: what forms are expected to reach, learnt from earlier searches.

What earlier searches measured is kept as ratios to the same model's source, so that a small model
teaches something about a large one. It orders candidates, and rules out those that are far off.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_optimizer_builder.domain.forms import FORMS
from modelmill_optimizer_builder.domain.objectives import (
    MEASURES,
    MEMORY,
    SIZE,
    Figure,
    Load,
    MeasuredObjective,
)
from modelmill_optimizer_builder.domain.pareto import SOURCE, Point

LEAST_EARLIER = 2
"""Earlier measurements of a form below which nothing is ruled out by them."""
LEAST_SPREAD = 1.5
"""Factor by which a figure may be better than expected, however alike earlier ones are."""
FIRST_SECONDS = 30.0
SECONDS_PER_GB = 300.0
"""First estimate of what a candidate takes, by the bytes of the weights in bf16."""
CALIBRATED_TIMES = 3.0
"""As long takes a form whose weights are chosen by calibration."""
SERVED_SHARE = 2.0
"""Bytes that the source has in memory as it is served: float32, which CPUs compute with."""
LOSS_WEIGHT = 10.0
"""A loss of a tenth more than allowed is as bad as missing the objective by all of it."""


@dataclass(frozen=True)
class EarlierPoint:
    """What an earlier search found of a form."""

    form: str
    ratios: Mapping[str, float]
    """Each figure as a share of the source's, by name."""
    loss: float | None
    seconds: float
    in_flight: int
    weights_bytes: int

    @classmethod
    def of_report(cls, report: Mapping[str, Any]) -> list["EarlierPoint"]:
        """Those of a report as `search_report` writes it."""
        points = {one["form"]: one for one in report["points"]}
        source = points.pop(SOURCE, None)
        if source is None:
            return []
        return [
            cls(
                form,
                {
                    name: figure["value"] / source["figures"][name]["value"]
                    for name, figure in one["figures"].items()
                    if name in MEASURES and source["figures"].get(name, {}).get("value")
                },
                None if one["loss"] is None else one["loss"]["value"],
                one["seconds"],
                report["load"]["in_flight"],
                report["weights_bytes"],
            )
            for form, one in points.items()
            if form in FORMS and not one["contradictory"]
        ]


@dataclass(frozen=True)
class Expected:
    """What is expected of a candidate that was not built."""

    figures: Mapping[str, Figure]
    """With the range that it will hardly leave; without end where too little is known."""
    loss: float
    seconds: float


class CostModel:
    """Expectations from earlier points and the source's own figures."""

    def __init__(
        self, earlier: Sequence[EarlierPoint], source: Point, weights_bytes: int, load: Load
    ) -> None:
        self._earlier = earlier
        self._source = source
        self._weights_bytes = weights_bytes
        self._load = load

    def expected(self, form: str) -> Expected:
        """Of one form."""
        known = [one for one in self._earlier if one.form == form]
        alike = [one for one in known if (one.in_flight > 1) == (self._load.in_flight > 1)]
        known = alike or known
        figures = {}
        for name in self._source.figures:
            ratios = [one.ratios[name] for one in known if name in one.ratios]
            figures[name] = self._figure(name, form, ratios)
        losses = [one.loss for one in known if one.loss is not None]
        seconds = expected_seconds(self._earlier, form, self._weights_bytes)
        return Expected(figures, statistics.median(losses) if losses else 0.0, seconds)

    def ruled_out(self, form: str, objective: MeasuredObjective) -> str:
        """Why a form cannot be expected to meet the objective; empty if it may."""
        figure = self.expected(form).figures[objective.name]
        if objective.is_met_by(figure) is not False:
            return ""
        return (
            f"earlier searches have {objective.name} at {figure.value:.4g}, "
            f"{figure.low:.4g} to {figure.high:.4g}"
        )

    def badness(self, form: str, objective: MeasuredObjective, most_lost: float) -> float:
        """How far an unbuilt form is expected to be from what is asked for; lower is better."""
        expected = self.expected(form)
        distance = objective.distance(expected.figures[objective.name].value)
        return badness(distance, expected.loss, most_lost)

    def _figure(self, name: str, form: str, ratios: Sequence[float]) -> Figure:
        source = self._source.figures[name].value
        ratio = statistics.median(ratios) if ratios else _first_ratio(name, form)
        if len(ratios) < LEAST_EARLIER:
            return Figure(ratio * source, 0.0, float("inf"))
        spread = max(LEAST_SPREAD, max(ratios) / min(ratios))
        return Figure(ratio * source, ratio * source / spread, ratio * source * spread)


def expected_seconds(earlier: Sequence[EarlierPoint], form: str, weights_bytes: int) -> float:
    """That it takes to build and measure a form, of that many bytes in bf16."""
    known = [one for one in earlier if one.form == form]
    if not known:
        times = CALIBRATED_TIMES if FORMS[form].is_calibrated else 1.0
        return FIRST_SECONDS + times * SECONDS_PER_GB * weights_bytes / 10**9
    return statistics.median(
        one.seconds * max(1.0, weights_bytes / one.weights_bytes) for one in known
    )


def badness(distance: float, loss: float, most_lost: float) -> float:
    """One number for objective and quality: what misses either is above 0."""
    return max(0.0, distance) + LOSS_WEIGHT * max(0.0, loss - most_lost)


def _first_ratio(name: str, form: str) -> float:
    """A first guess: time and memory follow the bytes that are read."""
    if name == SIZE:
        return FORMS[form].size_share
    share = FORMS[form].size_share / SERVED_SHARE
    if name == MEMORY:
        return (1 + share) / 2
    return 1 / share if MEASURES[name].higher_is_better else share
