"""What a run of kills came to, as a table and as entries of a kept measurement."""

from collections import Counter
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.supervision.drill import Tally

GOAL = 1.0
Z95 = 1.959964


def document(tally: Tally) -> dict[str, Any]:
    """By kind: the share of kills after which all was well, or all was gone."""
    return {"entries": [_entry(tally, kind) for kind in _kinds(tally)], "failures": tally.failures}


def show(tally: Tally, console: Console) -> None:
    """Draw it."""
    table = Table("killed", "times", "well", "median s", "longest s", title="supervision")
    for kind in _kinds(tally):
        seconds, times = tally.seconds.get(kind, []), _times(tally, kind)
        spread = (f"{median(seconds):.1f}", f"{max(seconds):.1f}") if seconds else ("-", "-")
        table.add_row(kind, str(times), str(len(seconds)), *spread)
    console.print(table)
    for failure in tally.failures:
        console.print(failure, markup=False, style="red")


def _entry(tally: Tally, kind: str) -> dict[str, Any]:
    seconds, times = tally.seconds.get(kind, []), _times(tally, kind)
    share = len(seconds) / times
    took = f"median {median(seconds):.1f} s, longest {max(seconds):.1f} s" if seconds else "never"
    return {
        "id": f"supervision.{kind.replace(' ', '_')}",
        "value": share,
        "unit": "share of kills",
        "against": GOAL,
        "ratio": share / GOAL,
        "goal": f"{GOAL:g}",
        "met": share >= GOAL,
        "ci95": _wilson(len(seconds), times),
        "note": f"{len(seconds)} of {times}; all was well again, or gone, after {took}",
    }


def _kinds(tally: Tally) -> list[str]:
    return list(dict.fromkeys([*tally.seconds, *_failed(tally)]))


def _times(tally: Tally, kind: str) -> int:
    return len(tally.seconds.get(kind, [])) + _failed(tally)[kind]


def _failed(tally: Tally) -> Counter[str]:
    return Counter(failure.partition(":")[0] for failure in tally.failures)


def _wilson(good: int, times: int) -> tuple[float, float]:
    share, square = good / times, Z95**2 / times
    middle = (share + square / 2) / (1 + square)
    half = Z95 / (1 + square) * (share * (1 - share) / times + square / 4 / times) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
