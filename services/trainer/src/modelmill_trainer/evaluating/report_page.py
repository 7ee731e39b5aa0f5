"""HTML report of an evaluation: inline SVG, no scripts, no external resources."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template

PAGE = "report.html"
WIDTH = 360
"""Width of the interval plots, in pixels."""


@dataclass(frozen=True)
class MetricRow:
    """One metric of one group, as a table row with an interval plot."""

    measure: str
    group: str
    """Group of a slice; empty for all rows."""
    model: Mapping[str, Any] | None
    compare_to: Mapping[str, Any] | None
    comparison: Mapping[str, Any] | None
    low: float
    """Lower end of the axis."""
    high: float

    def place(self, value: float) -> float:
        """Position of a value on the axis, in pixels."""
        return WIDTH * (value - self.low) / ((self.high - self.low) or 1.0)


def write_page(folder: Path, results: Mapping[str, Any]) -> None:
    """Write the report; it is deterministic for the same results."""
    (folder / PAGE).write_text(page_of(results), "utf-8")


def page_of(results: Mapping[str, Any]) -> str:
    """The HTML. Names come from tenants, so all of them are escaped."""
    suites = [(suite, list(_lines(suite))) for suite in results["suites"]]
    return _template().render(results=results, suites=suites, width=WIDTH).lstrip()


@cache
def _template() -> Template:
    source = (
        files("modelmill_trainer.evaluating")
        .joinpath("report_page.html")
        .read_text(encoding="utf-8")
    )
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)


def _lines(suite: Mapping[str, Any]) -> Iterator[MetricRow]:
    """Each metric for all rows, followed by its slices, on a common axis."""
    for name in suite["shown"]:
        whole = suite["measures"][name]
        found = [("", whole)]
        for by, groups in suite["slices"].items():
            for value, group in groups.items():
                if name in group["measures"]:
                    found.append((f"{by}: {value} ({group['rows']})", group["measures"][name]))
        ends = [
            figures[side][end]
            for _, figures in found
            for side in ("model", "compare_to")
            if side in figures
            for end in ("low", "high")
        ]
        for group, figures in found:
            yield MetricRow(
                name,
                group,
                figures.get("model"),
                figures.get("compare_to"),
                figures.get("comparison"),
                min(ends),
                max(ends),
            )
