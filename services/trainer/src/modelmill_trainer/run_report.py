"""Report of a finished run: model card, and curves as self-contained SVG."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from modelmill_registry.model_card import CARD, CardFacts, model_card

CURVES = "curves.svg"
WIDTH, PANEL_HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 34, 30
MAX_POINTS = 600
"""Points per curve; longer runs show minimum and maximum per interval, so that spikes stay."""
TICKS = 4
SMOOTHED_FROM = 40
"""From this many steps on, a moving average is drawn as well."""

Point = tuple[float, float]
"""Step and value."""

STYLE = """
text{font:12px system-ui,sans-serif;fill:#444}.title{font-weight:600}
.grid{stroke:#8884;stroke-width:1}.raw{fill:none;stroke:#3b6ea5;stroke-width:1.2}
.faint{stroke-opacity:.35}.mean{fill:none;stroke:#c4501b;stroke-width:1.8}
@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#ccc}
.raw{stroke:#7fb2e5}.mean{stroke:#f0894f}}
"""
METRICS = "metrics.jsonl"
EVALUATION = "evaluation.json"


def curves_of(metrics: Path) -> str:
    """The SVG of a run's metrics.jsonl."""
    with metrics.open(encoding="utf-8") as lines:
        return draw_curves([json.loads(line) for line in lines])


def draw_curves(steps: Sequence[Mapping[str, float]]) -> str:
    """The SVG of step metrics, oldest first; each mapping has "step" and metrics.

    Non-finite values are skipped. A metric without values has no panel.
    """
    panels = [
        _Panel(title, points)
        for name, title in (("loss", "training loss"), ("learning_rate", "learning rate"))
        if (points := list(_points(steps, name)))
    ]
    height = PANEL_HEIGHT * max(len(panels), 1)
    body = "".join(panel.svg(place * PANEL_HEIGHT) for place, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{_label(panels)}">'
        f"<style>{STYLE}</style>{body or _nothing()}</svg>\n"
    )


@dataclass(frozen=True)
class _Panel:
    """One metric by step."""

    title: str
    points: list[Point]

    def svg(self, top: float) -> str:
        """The panel, with its upper edge at `top`."""
        scale = _Scale.around(self.points, top)
        parts = [
            f'<text class="title" x="{LEFT}" y="{top + 20:g}">{self.title} by optimizer step</text>'
        ]
        for value in scale.ticks():
            y = scale.y(value)
            parts.append(
                f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
                f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
            )
        for step, anchor in ((scale.first, "start"), (scale.last, "end")):
            parts.append(
                f'<text x="{scale.x(step):.1f}" y="{scale.bottom + 18:.1f}" '
                f'text-anchor="{anchor}">{step:.0f}</text>'
            )
        smooth = len(self.points) >= SMOOTHED_FROM and self.title == "training loss"
        parts.append(scale.line(_thinned(self.points), "raw faint" if smooth else "raw"))
        if smooth:
            parts.append(scale.line(_thinned(_smoothed(self.points)), "mean"))
        return "".join(parts)


@dataclass(frozen=True)
class _Scale:
    """Maps steps and values to SVG coordinates."""

    first: float
    last: float
    low: float
    high: float
    top: float
    bottom: float

    @classmethod
    def around(cls, points: Sequence[Point], top: float) -> "_Scale":
        values = [value for _, value in points]
        low, high = min(values), max(values)
        # A constant is drawn in the middle.
        margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
        return cls(
            points[0][0],
            points[-1][0],
            low - margin,
            high + margin,
            top + TOP,
            top + PANEL_HEIGHT - BOTTOM,
        )

    def x(self, step: float) -> float:
        share = (step - self.first) / ((self.last - self.first) or 1.0)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - share * (self.bottom - self.top)

    def ticks(self) -> Iterator[float]:
        """Round values within the panel, about TICKS of them."""
        unit = 10.0 ** math.floor(math.log10((self.high - self.low) / TICKS))
        step = next(
            s
            for s in (unit, 2 * unit, 5 * unit, 10 * unit)
            if (self.high - self.low) / s <= TICKS + 1
        )
        first = math.ceil(self.low / step)
        for number in range(first, math.floor(self.high / step) + 1):
            yield number * step

    def line(self, points: Sequence[Point], style: str) -> str:
        if len(points) == 1:
            [(step, value)] = points
            return (
                f'<circle class="{style}" cx="{self.x(step):.1f}" cy="{self.y(value):.1f}" r="2"/>'
            )
        places = " ".join(f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in points)
        return f'<polyline class="{style}" points="{places}"/>'


def _points(steps: Sequence[Mapping[str, float]], name: str) -> Iterator[Point]:
    for figures in steps:
        value = figures.get(name)
        if value is not None and math.isfinite(value):
            yield float(figures["step"]), float(value)


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most MAX_POINTS points: minimum and maximum of each interval, in order."""
    if len(points) <= MAX_POINTS:
        return list(points)
    stretches = MAX_POINTS // 2
    edges = [len(points) * place // stretches for place in range(stretches + 1)]
    kept: list[Point] = []
    for first, last in pairwise(edges):
        stretch = points[first:last]
        kept += sorted({min(stretch, key=_value), max(stretch, key=_value)})
    return kept


def _smoothed(points: Sequence[Point]) -> list[Point]:
    """Moving average over about a twentieth of the run."""
    reach = max(1, len(points) // 40)
    sums = [0.0]
    for _, value in points:
        sums.append(sums[-1] + value)
    smooth = []
    for place, (step, _) in enumerate(points):
        first, last = max(0, place - reach), min(len(points), place + reach + 1)
        smooth.append((step, (sums[last] - sums[first]) / (last - first)))
    return smooth


def _value(point: Point) -> float:
    return point[1]


def _label(panels: Sequence[_Panel]) -> str:
    drawn = " and ".join(panel.title for panel in panels)
    return f"{drawn} by optimizer step" if drawn else "no step was measured"


def _nothing() -> str:
    return f'<text x="{LEFT}" y="{TOP}">no step was measured</text>'


def write_report(folder: Path, facts: CardFacts) -> None:
    """Write curves and card; evaluation results are read from the folder."""
    evaluation = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
    (folder / CURVES).write_text(curves_of(folder / METRICS), encoding="utf-8")
    complete = replace(facts, evaluation=evaluation, pictures=(CURVES,))
    (folder / CARD).write_text(model_card(complete), encoding="utf-8")
