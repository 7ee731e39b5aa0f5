"""HTML report of a dataset: inline SVG, no scripts, no external resources."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, Template

from modelmill_data_prep.domain.row_decisions import EVALUATION_LEAK_RULE, SPLITS, TEST_LEAK_RULE

BAR_WIDTH = 420
ROW_HEIGHT = 22


@dataclass(frozen=True)
class ChartBar:
    """One bar of a chart."""

    name: str
    count: int
    share: float
    """Length relative to the longest bar, 0 to 1."""


@dataclass(frozen=True)
class Chart:
    """Bar chart of counts by name."""

    title: str
    about: str
    bars: list[ChartBar]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return ROW_HEIGHT * len(self.bars)


@dataclass(frozen=True)
class ContaminationGroup:
    """An evaluation set, and the contaminated rows that were dropped because of it."""

    name: str
    count: int
    samples: list[Mapping[str, Any]]
    """Samples with "line", "text" and "detail"."""


def report_page(report: Mapping[str, Any], *, name: str) -> bytes:
    """Render a report of `report_of`; deterministic.

    Args:
        name: Dataset name, for the title.
    """
    page = _template().render(
        name=name or "dataset",
        report=report,
        charts=_charts(report),
        width=BAR_WIDTH,
        contamination_groups=_contamination_groups(report),
        clustered=_clustered(report),
    )
    return page.encode()


@cache
def _template() -> Template:
    source = (
        files("modelmill_data_prep.domain").joinpath("report_page.html").read_text(encoding="utf-8")
    )
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)


def _charts(report: Mapping[str, Any]) -> list[Chart]:
    stages = {
        name: stage["rows_in"] - stage["rows_dropped"] for name, stage in report["stages"].items()
    }
    charts = [
        _chart("Rows after each stage", "In the order of the stages.", stages),
        _chart("Splits", "Rows written.", {n: report["counts"][n] for n in SPLITS}),
        _chart(
            "Length in characters", "Rows kept, by doubling buckets.", _of(report, "characters")
        ),
        _chart("Length in tokens", "Rows kept; a Han character is one.", _of(report, "tokens")),
        _chart("Languages", "Rows kept, by script.", report["languages"]),
        _chart("Difficulty", "Rows of train, by tier.", report.get("difficulty", {})),
        _chart("Answers", "Where rows choose among few.", report["choices"] or {}),
        _chart("Entities", "Found, and what was done.", report["entities"]),
    ]
    return [chart for chart in charts if chart.bars]


def _contamination_groups(report: Mapping[str, Any]) -> list[ContaminationGroup]:
    samples = report["samples"]
    shown = [*samples.get(EVALUATION_LEAK_RULE, []), *samples.get(TEST_LEAK_RULE, [])]
    return [
        ContaminationGroup(
            name, count, [one for one in shown if one["detail"].endswith(f" {name}")]
        )
        for name, count in report["contaminated"].items()
    ]


def _clustered(report: Mapping[str, Any]) -> dict[str, int]:
    """Number of dropped duplicates, and how many of them the report lists."""
    dropped = report["rules"].get("dropped", {})
    return {
        "all": sum(dropped.get(rule, 0) for rule in ("duplicates.exact", "duplicates.near")),
        "named": sum(cluster["dropped_count"] for cluster in report["duplicates"]),
    }


def _of(report: Mapping[str, Any], name: str) -> Mapping[str, int]:
    histogram: Mapping[str, int] = report[name]["histogram"]
    return histogram


def _chart(title: str, about: str, counts: Mapping[str, int]) -> Chart:
    longest = max(counts.values(), default=0) or 1
    bars = [ChartBar(name, count, count / longest) for name, count in counts.items()]
    return Chart(title, about, bars)
