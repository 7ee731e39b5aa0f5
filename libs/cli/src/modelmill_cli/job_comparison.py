"""Jobs side by side in a terminal: runs and their data, settings, scores and losses."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from modelmill_cli.job_words import name_of
from modelmill_cli.output import Record
from modelmill_cli.tables import plain, print_table

LOSSES = ("loss", "valid_loss")
DIFFERS = "*"
SPLITS = ("train", "valid", "test")


def print_comparison(found: Record, *, with_all: bool) -> None:
    """Print tables with a column for each job.

    Args:
        with_all: also settings that all of them have alike.
    """
    compared = found["jobs"]
    _print("job", compared, _facts(compared))
    rows = [row for row in found["settings"] if with_all or row["differs"]]
    marked = [(f"{row['path']} {DIFFERS * row['differs']}".strip(), row["values"]) for row in rows]
    settings = [(name, map(_word, values)) for name, values in marked]
    scores = [(row["name"], map(_score, row["values"])) for row in found["scores"]]
    _print(f"setting ({DIFFERS} differs)", compared, settings)
    _print("score", compared, scores)
    _print("by step", compared, _losses(compared))


def _print(
    title: str, compared: Sequence[Record], rows: Sequence[tuple[str, Iterable[str]]]
) -> None:
    if not rows:
        return
    table = Table(title, *(plain(str(each["job"]["id"])) for each in compared))
    for name, cells in rows:
        table.add_row(plain(name), *(plain(cell) for cell in cells))
    print_table(table)


def _facts(compared: Sequence[Record]) -> list[tuple[str, list[str]]]:
    facts = [
        ("name", [name_of(each["job"]) for each in compared]),
        ("status", [each["job"]["status"] for each in compared]),
        ("error", [(each["job"]["error"] or {}).get("message", "") for each in compared]),
        ("dataset", [_dataset(each["dataset"]) for each in compared]),
        ("rows", [_rows(each["dataset"]) for each in compared]),
        ("digest", [(each["dataset"] or {}).get("digest") or "" for each in compared]),
    ]
    return [(name, cells) for name, cells in facts if any(cells)]


def _dataset(dataset: Mapping[str, Any] | None) -> str:
    if dataset is None:
        return ""
    words = (dataset["id"], dataset["name"] or "", "(deleted)" if dataset["is_deleted"] else "")
    return " ".join(word for word in words if word)


def _rows(dataset: Mapping[str, Any] | None) -> str:
    counts = (dataset or {}).get("counts") or {}
    return ", ".join(f"{counts[name]:,} {name}" for name in SPLITS if name in counts)


def _word(value: object) -> str:
    """A setting; a job's record has whole numbers as 16.0."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _score(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return ""
    if score["low"] is None:
        whole = float(score["value"]).is_integer()
        return f"{score['value']:,.0f}" if whole else f"{score['value']:,.6g}"
    return f"{score['value']:.4g} ({score['low']:.4g} to {score['high']:.4g})"


def _losses(compared: Sequence[Record]) -> list[tuple[str, list[str]]]:
    rows = [(name, [_curve_words(each["series"], name) for each in compared]) for name in LOSSES]
    return [(name, cells) for name, cells in rows if any(cells)]


def _curve_words(series: Sequence[Mapping[str, Any]], name: str) -> str:
    """First, last and lowest value, and how many there are; empty where it was not measured."""
    for each in series:
        if each["name"] == name:
            values = each["values"]
            words = f"{values[0]:.4g} -> {values[-1]:.4g}, lowest {min(values):.4g}"
            return f"{words}, {each['total']:,} points"
    return ""
