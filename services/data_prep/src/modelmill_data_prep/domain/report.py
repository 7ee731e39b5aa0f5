"""The dataset report: `report.json`, and an HTML page without scripts or external resources."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, Template

from modelmill_data_prep.domain.duplicates.near import Cluster
from modelmill_data_prep.domain.entities.entity_plan import TYPES, EntityPlan
from modelmill_data_prep.domain.row_decisions import EVALUATION_LEAK_RULE, SPLITS, TEST_LEAK_RULE
from modelmill_data_prep.domain.row_numbers import row_words
from modelmill_data_prep.domain.tally import Tally


@dataclass(frozen=True)
class FoundAcrossRows:
    """What only all rows together tell."""

    clusters: Sequence[Cluster] = ()
    """Of duplicates, some of them."""

    contaminated: Mapping[str, int] = field(default_factory=dict)
    """Rows by what they give away."""

    several_answers: Mapping[str, Any] | None = None
    """Texts that are answered in several ways, with lines; None where duplicates are kept."""


def report_of(
    tally: Tally,
    counts: Mapping[str, int],
    found: FoundAcrossRows,
    merkle_root: str,
    models: Sequence[Mapping[str, Any]],
    source: Mapping[str, Any],
    entities: EntityPlan,
    failure: str = "",
) -> dict[str, Any]:
    """The report, with the failure if no dataset was made; deterministic."""
    return {
        "failure": failure or None,
        "counts": dict(counts),
        "merkle_root": merkle_root,
        "source": dict(source),
        "stages": {name: asdict(stage) for name, stage in tally.stages.items()},
        "rules": _by_outcome(tally.rules),
        "reasons": _most_common(tally.reasons),
        "samples": {rule: [asdict(one) for one in rows] for rule, rows in tally.samples.items()},
        "entities": _most_common(tally.entities),
        "personal_data": _searched(entities),
        "languages": _most_common(tally.languages),
        "characters": {"histogram": _histogram(tally.character_buckets)},
        "tokens": {
            **_total_and_mean(tally.tokens, tally.rows_kept),
            "histogram": _histogram(tally.token_buckets),
        },
        "sentences": _total_and_mean(tally.sentences, tally.rows_kept),
        "difficulty": dict(tally.difficulty),
        "turns_not_learned": tally.turns_not_learned,
        "choices": None if tally.answers is None else _most_common(tally.answers),
        "doubtful_choices": tally.doubtful_choices(),
        "several_answers": found.several_answers,
        "duplicates": [asdict(cluster) for cluster in found.clusters],
        "contaminated": dict(found.contaminated),
        "models": list(models),
    }


def failed_report_of(
    tally: Tally, failure: str, source: Mapping[str, Any], entities: EntityPlan
) -> dict[str, Any]:
    """Report of a failed job, with the statistics gathered so far."""
    made = dict.fromkeys(("rows_kept", "rows_made", *SPLITS), 0)
    counts = {"rows_in": tally.rows_in, **tally.taken_out(), **made}
    return report_of(tally, counts, FoundAcrossRows(), "", (), source, entities, failure)


def _searched(entities: EntityPlan) -> dict[str, Any]:
    """Types of personal data with their actions, and those that were not searched."""
    not_searched = [name for name in TYPES if name not in entities.actions]
    return {"actions": dict(entities.actions), "not_searched": not_searched}


def _total_and_mean(total: int, rows: int) -> dict[str, float]:
    return {"total": total, "mean": round(total / max(rows, 1), 2)}


def _by_outcome(rules: Mapping[str, int]) -> dict[str, dict[str, int]]:
    outcomes: dict[str, dict[str, int]] = {}
    for key, rows in sorted(rules.items(), key=_largest_first):
        outcome, _, rule = key.partition(" ")
        outcomes.setdefault(outcome, {})[rule] = rows
    return outcomes


def _most_common(counter: Counter[str]) -> dict[str, int]:
    # Ties by name, so that the order does not depend on insertion.
    return dict(sorted(counter.items(), key=_largest_first))


def _largest_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _histogram(buckets: Mapping[int, int]) -> dict[str, int]:
    return {_bucket_name(bucket): rows for bucket, rows in sorted(buckets.items())}


def _bucket_name(bits: int) -> str:
    """Name of an exponential bucket: 0-1, 2, 3-4, 5-8, 9-16, ..."""
    low, high = (0, 1) if bits == 0 else (2 ** (bits - 1) + 1, 2**bits)
    return str(high) if low == high else f"{low}-{high}"


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
        row_words=row_words,
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
        _chart("Answers", _about_choices(report), report["choices"] or {}),
        _chart("Entities", "Found, and what was done.", report["entities"]),
    ]
    return [chart for chart in charts if chart.bars]


def _about_choices(report: Mapping[str, Any]) -> str:
    doubtful = report.get("doubtful_choices", {}).items()
    named = "; ".join(f"{answer!r} ({meant!r}?)" for answer, meant in doubtful)
    return "Where rows choose among few." + (f" Perhaps misspelt: {named}." if named else "")


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
