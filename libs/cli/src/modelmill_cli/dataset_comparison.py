"""Datasets side by side in a terminal: rows, lengths, shares, removed rows and settings."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from modelmill_client import Modelmill, types
from rich.console import Console
from rich.table import Table

from modelmill_cli.output import Record
from modelmill_cli.row_words import said_of
from modelmill_cli.tables import plain, print_table

DIFFERS = "*"
SHARES = (("language", "languages"), ("label", "labels"))
COUNTS = (("removed rows", "removed"), ("entities", "entities"))
LENGTHS = ("tokens", "characters")
PERCENTS = ("p5", "p25", "p50", "p75", "p95")
ROWS_KEPT = "rows_kept"
MOST_IN_A_PAGE = 100

Line = tuple[str, Sequence[str]]
UnsharedRows = Mapping[str, Sequence[types.UnsharedRow]]
"""Rows by the dataset that alone has them."""


def print_dataset_comparison(found: Record, *, with_all: bool) -> None:
    """Print tables with a column for each of two datasets.

    Args:
        with_all: also settings that both have alike.
    """
    names = _titles(found)
    _print("dataset", [each["id"] for each in found["datasets"]], _facts(found))
    _print("rows of one alone, in the other", names, _counts(found["unshared"]))
    _print("length", names, _lengths(found["datasets"]))
    for title, name in SHARES:
        _print(title, names, _shares(found, name))
    for title, name in COUNTS:
        _print(title, names, _counts(found[name]))
    rows = [row for row in found["settings"] if with_all or row["differs"]]
    settings = [
        (f"{row['path']} {DIFFERS * row['differs']}".strip(), [_word(it) for it in row["values"]])
        for row in rows
    ]
    _print(f"setting ({DIFFERS} differs)", names, settings)


def some_unshared_rows(client: Modelmill, first: str, second: str, count: int) -> UnsharedRows:
    """The first rows that each dataset has alone, at most `count`."""
    if not count:
        return {}
    size = min(count, MOST_IN_A_PAGE)
    pairs = ((first, second), (second, first))
    return {
        one: list(islice(client.datasets.unshared_rows(one, other, page_size=size), count))
        for one, other in pairs
    }


def print_unshared_rows(found: Record, rows: UnsharedRows) -> None:
    """Print a line for each row, and below it what the other has of the same source row."""
    console = Console(highlight=False)
    for dataset, some in zip(_titles(found), rows.values(), strict=False):
        for each in some:
            words = f"{dataset} alone, {each['because']}, {_line(each['row'])}"
            console.print(plain(words), soft_wrap=True)
            if each["other_row"]:
                console.print(f"  there {plain(_line(each['other_row']))}", soft_wrap=True)


def _titles(found: Record) -> list[str]:
    """Names, which are shorter than ids, where they tell the datasets apart."""
    names = [each["name"] for each in found["datasets"]]
    if all(names) and len(set(names)) == len(names):
        return names
    return [each["id"] for each in found["datasets"]]


def _print(title: str, names: Sequence[str], lines: Sequence[Line]) -> None:
    if not lines:
        return
    table = Table(title, *(plain(name) for name in names))
    for name, cells in lines:
        table.add_row(plain(name), *(plain(cell) for cell in cells))
    print_table(table)


def _facts(found: Record) -> list[Line]:
    sides = found["datasets"]
    common = f"{found['rows_common']:,}"
    facts = [
        ("name", [each["name"] or "" for each in sides]),
        ("digest", [each["digest"] for each in sides]),
        ("rows", [f"{each['rows']:,}" for each in sides]),
        ("in both", [common, common]),
        ("in another split", ["", f"{found['rows_moved']:,}"]),
        ("in one alone", [f"{each['rows_unshared']:,}" for each in sides]),
        ("same rows and order", ["yes" if found["same"] else ""] * 2),
    ]
    counts = [line for line in _counts(found["counts"]) if line[0] != ROWS_KEPT]
    return [(name, cells) for name, cells in facts if any(cells)] + counts


def _counts(counts: Sequence[Record]) -> list[Line]:
    return [(each["name"], [f"{rows:,}" for rows in each["values"]]) for each in counts]


def _shares(found: Record, name: str) -> list[Line]:
    """Shares of the rows; the counts stand beside them."""
    rows = [max(each["rows"], 1) for each in found["datasets"]]
    return [
        (
            each["name"],
            [f"{it / all_:.1%} ({it:,})" for it, all_ in zip(each["values"], rows, strict=True)],
        )
        for each in found[name]
    ]


def _lengths(sides: Sequence[Record]) -> list[Line]:
    lines: list[Line] = [
        (f"{name} {percent}", [f"{each[name][percent]:,}" for each in sides])
        for name in LENGTHS
        for percent in PERCENTS
    ]
    if any(each["rows_measured"] < each["rows"] for each in sides):
        lines.append(("rows measured", [f"{each['rows_measured']:,}" for each in sides]))
    return lines


def _line(row: Mapping[str, Any]) -> str:
    """What it says, behind the number that `mill data explain` takes."""
    return f"line {row['row']}: {said_of(row)}"


def _word(value: object) -> str:
    return "" if value is None else str(value)
