"""Report of a search: JSON, a table in Markdown, and the points as self-contained SVG."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from modelmill_optimizer_builder.domain.cost import saving
from modelmill_optimizer_builder.domain.objectives import (
    COST,
    MEASURES,
    Figure,
    Load,
    MeasuredObjective,
)
from modelmill_optimizer_builder.domain.pareto import SOURCE, Point, pareto_front
from modelmill_optimizer_builder.domain.verdicts import Verdict

NAME = "optimization"
"""Of the report's files, before their endings."""
WIDTH, HEIGHT, EDGE = 720, 360, 64
STYLE = """
text{font:12px system-ui,sans-serif;fill:#444}.front{fill:#3b6ea5}.beaten{fill:#8888}
.chosen{fill:none;stroke:#c4501b;stroke-width:2}.goal{stroke:#c4501b;stroke-dasharray:4 3}
.spread{stroke:#8888}.axis{stroke:#8888}
@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#ccc}.front{fill:#7fb2e5}}
"""


@dataclass(frozen=True)
class SearchReport:
    """All that a search found."""

    objective: MeasuredObjective
    load: Load
    most_lost: float
    points: tuple[Point, ...]
    untried: Mapping[str, str]
    """Forms that were not measured, and why."""
    verdict: Verdict
    weights_bytes: int
    """Of the source in bf16."""
    price_per_hour: float | None
    seconds: float

    @property
    def front(self) -> list[Point]:
        """Points that no other one beats."""
        return pareto_front(self.points, self.objective)

    def as_json(self) -> dict[str, Any]:
        """Plain values; a later search learns from them (`EarlierPoint.of_report`)."""
        best = {point.form for point in self.front}
        return {
            "verdict": self.verdict.word,
            "chosen": self.verdict.chosen.form,
            "reason": self.verdict.reason,
            "objective": {self.objective.name: self.objective.value},
            "load": self.load.as_json(),
            "max_accuracy_loss": self.most_lost,
            "machine_price_per_hour": self.price_per_hour,
            "weights_bytes": self.weights_bytes,
            "seconds": round(self.seconds, 1),
            "points": [_point_json(point, point.form in best) for point in self.points],
            "untried": dict(self.untried),
            "cost": self.cost(),
        }

    def cost(self) -> dict[str, float]:
        """Of a thousand requests before and after; empty where the machine has no price."""
        by_form = {point.form: point.figures for point in self.points}
        before = by_form[SOURCE].get(COST)
        after = self.verdict.chosen.figures.get(COST)
        if before is None or after is None:
            return {}
        change = saving(before.value, after.value)
        return {"before": before.value, "after": after.value, "change": change}

    def write(self, folder: Path) -> None:
        """Write `optimization.json`, `.md` and `.svg`."""
        texts = {
            "json": json.dumps(self.as_json(), indent=1),
            "md": self.markdown(),
            "svg": self.svg(),
        }
        for ending, text in texts.items():
            (folder / f"{NAME}.{ending}").write_text(text + "\n", encoding="utf-8")

    def markdown(self) -> str:
        """Verdict and table."""
        names = list(self.points[0].figures)
        units = [f"{name} {MEASURES[name].unit}".strip() for name in names]
        head = ["candidate", "points lost", *units]
        rows = [
            [
                f"**{point.form}**" if point is self.verdict.chosen else point.form,
                "not scored" if point.loss is None else _figure(point.loss, 100),
                *(_figure(point.figures[name]) for name in names),
            ]
            for point in self.points
        ]
        lines = [
            f"# {self.objective.words()}: {self.verdict.word.replace('_', ' ')}",
            "",
            f"{self.verdict.reason}.",
            "",
            *(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)),
        ]
        lines += ["", *(f"- {form} was not measured: {why}." for form, why in self.untried.items())]
        if cost := self.cost():
            words = "A thousand requests: {before:.4g} before, {after:.4g} after ({change:+.0%})."
            lines += ["", words.format(**cost)]
        load = self.load
        lines += [
            "",
            f"Measured with {load.in_flight} requests in flight, prompts of {load.prompt_tokens} "
            f"tokens and answers of {load.output_tokens}. Brackets hold 95 % intervals; those of "
            "points lost are paired by row with bf16.",
        ]
        return "\n".join(lines)

    def svg(self) -> str:
        """The objective's figure against the quality lost, with intervals."""
        return _Plot(self).svg()


def _point_json(point: Point, is_on_front: bool) -> dict[str, Any]:
    return {
        "form": point.form,
        "figures": {name: asdict(figure) for name, figure in point.figures.items()},
        "loss": None if point.loss is None else asdict(point.loss),
        "agreement": point.agreement,
        "contradictory": dict(point.contradictory),
        "seconds": round(point.seconds, 1),
        "on_front": is_on_front,
    }


def _figure(figure: Figure, times: float = 1.0) -> str:
    value, low, high = (times * end for end in (figure.value, figure.low, figure.high))
    return f"{value:.4g}" if low == high else f"{value:.4g} ({low:.4g} to {high:.4g})"


class _Plot:
    """Places of points on the page."""

    def __init__(self, report: SearchReport) -> None:
        self._report = report
        self._name = report.objective.name
        figures = [point.figures[self._name] for point in report.points]
        self._most = 1.1 * max(report.objective.value, *(figure.high for figure in figures))
        lost = [self._lost(point) for point in report.points]
        self._most_lost = 1.1 * max(report.most_lost, 0.01, *lost)

    def svg(self) -> str:
        objective = self._report.objective
        goal = self._x(objective.value)
        best = {point.form for point in self._report.front}
        body = "".join(self._mark(point, point.form in best) for point in self._report.points)
        foot, side = HEIGHT - EDGE, EDGE
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" role="img" '
            f'aria-label="{escape(objective.words())}"><style>{STYLE}</style>'
            f'<path class="axis" d="M{side} 20V{foot}H{WIDTH - 20}" fill="none"/>'
            f'<line class="goal" x1="{goal:.1f}" x2="{goal:.1f}" y1="20" y2="{foot}"/>'
            f'<text x="{goal + 4:.1f}" y="18">{escape(objective.words())}</text>'
            f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 24}">'
            f"{escape(f'{self._name} {objective.measure.unit}')}, 0 to {self._most:.4g}</text>"
            f'<text x="4" y="14">quality lost, 0 to {self._most_lost:.1%}</text>{body}</svg>'
        )

    def _mark(self, point: Point, is_on_front: bool) -> str:
        figure = point.figures[self._name]
        x, y = self._x(figure.value), self._y(self._lost(point))
        chosen = (
            f'<circle class="chosen" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
            if point is self._report.verdict.chosen
            else ""
        )
        return (
            f'<line class="spread" x1="{self._x(figure.low):.1f}" x2="{self._x(figure.high):.1f}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle class="{"front" if is_on_front else "beaten"}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="5"/>{chosen}<text x="{x + 8:.1f}" y="{y - 8:.1f}">{escape(point.form)}</text>'
        )

    def _lost(self, point: Point) -> float:
        return max(0.0, point.quality_lost)

    def _x(self, value: float) -> float:
        return EDGE + (WIDTH - EDGE - 20) * min(value / self._most, 1.0)

    def _y(self, lost: float) -> float:
        return HEIGHT - EDGE - (HEIGHT - EDGE - 20) * min(lost / self._most_lost, 1.0)
