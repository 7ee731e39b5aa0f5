"""The results as a page: plain HTML with drawings in it, no script, nothing loaded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template

PAGE = "report.html"
WIDTH = 360
"""Of a drawing's axis."""


@dataclass(frozen=True)
class Line:
    """A measure of some rows, as a line of a table with its intervals drawn."""

    measure: str
    group: str
    """Of a slice; empty for all rows."""
    model: Mapping[str, Any] | None
    compare_to: Mapping[str, Any] | None
    comparison: Mapping[str, Any] | None
    low: float
    """Of the axis, as `high`."""
    high: float

    def place(self, value: float) -> float:
        """Where on the axis."""
        return WIDTH * (value - self.low) / ((self.high - self.low) or 1.0)


def write_page(folder: Path, results: Mapping[str, Any]) -> None:
    """The page of `results`; the same results give the same bytes."""
    (folder / PAGE).write_text(page_of(results), "utf-8")


def page_of(results: Mapping[str, Any]) -> str:
    """The page's HTML. Names in it are a tenant's: all of them are escaped."""
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


def _lines(suite: Mapping[str, Any]) -> Iterator[Line]:
    """Each measure of all rows, and below it those of the slices, on one axis."""
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
            yield Line(
                name,
                group,
                figures.get("model"),
                figures.get("compare_to"),
                figures.get("comparison"),
                min(ends),
                max(ends),
            )
