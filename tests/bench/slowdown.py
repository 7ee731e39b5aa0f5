"""house.slowdown.*: entries of the bench after a change beside before it, by turns in one run.

    python -m tests.bench.slowdown --before FOLDER [--pairs 5] [--rounds 5] [--keep] ID ...

FOLDER is a checkout of the commit before, installed by its own `make install`. In each pair both
trees measure the entries, and who begins changes from pair to pair. Value: how many times as dear
an entry is after the change, mean of the pairs' logarithms; where more is better (a rate), how many
times as slow. Interval: Student's t over the pairs. `--keep` writes deploy/bench/house.json.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console

from tests import run_record
from tests.bench.__main__ import ALL_IDS
from tests.bench.figures import Entry
from tests.bench.report import show

RESULT = Path("deploy/bench/house.json")
PREFIX = "house.slowdown."
MOST, MOST_OF_FRONT = 1.03, 1.10
T_975 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t for a 95 % interval of 2 to 10 pairs."""


def measured(tree: Path, ids: Sequence[str], rounds: int) -> dict[str, tuple[float, str]]:
    """Value and unit of each entry, as a checkout measures it.

    Raises:
        subprocess.CalledProcessError: an entry has no figure.
    """
    command = [".venv/bin/python", "-m", "tests.bench", *ids, "--rounds", str(rounds)]
    subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL)
    document = json.loads((tree / "build" / "bench.json").read_bytes())
    return {one["id"]: (one["value"], one["unit"]) for one in document["entries"]}


def cost_ratio(before: float, after: float, unit: str) -> float:
    """How many times as dear it is after the change."""
    return before / after if "/s" in unit else after / before


def entry(name: str, ratios: Sequence[float], values: Sequence[float], unit: str) -> Entry:
    """The figure of the pairs of one entry; at least two."""
    logs = np.log(ratios)
    half = T_975[len(logs) - 2] * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    middle = float(logs.mean())
    low, high = math.exp(middle - half), math.exp(middle + half)
    most = MOST_OF_FRONT if name.startswith("front.") else MOST
    return Entry(
        id=PREFIX + name,
        value=float(np.median(values)),
        unit=unit,
        against="the same before the change",
        ratio=math.exp(middle),
        ci95=(low, high),
        goal=f"upper bound <= {most:g}",
        met=high <= most,
        note=f"{len(logs)} pairs: {', '.join(f'{one:.3f}' for one in ratios)}",
    )


def main() -> int:
    """Measure by turns, show, and keep if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.slowdown", description=__doc__)
    parser.add_argument("ids", nargs="+", choices=ALL_IDS, metavar="ID")
    parser.add_argument("--before", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--pairs", type=int, default=5, choices=range(2, len(T_975) + 2))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT}")
    given = parser.parse_args()
    console = Console()
    trees = [given.before, Path.cwd()]
    pairs = []
    for number in range(given.pairs):
        turn = trees[:: 1 if number % 2 == 0 else -1]
        found = {tree: measured(tree, given.ids, given.rounds) for tree in turn}
        pairs.append([found[tree] for tree in trees])
        console.print(f"pair {number + 1} of {given.pairs}")
    lines = []
    for name in given.ids:
        unit = pairs[0][0][name][1]
        both = [(before[name][0], after[name][0]) for before, after in pairs]
        ratios = [cost_ratio(*values, unit) for values in both]
        lines.append(entry(name, ratios, [after for _, after in both], unit))
    show(lines, console)
    if given.keep:
        keep(lines)
    return 0


def keep(lines: Sequence[Entry]) -> None:
    """Write these in place of those of the same ids."""
    document = json.loads(RESULT.read_text(encoding="utf-8"))
    names = {line.id for line in lines}
    others = [one for one in document["entries"] if one["id"] not in names]
    commit = run_record.circumstances(())["commit"]
    fresh = [asdict(line) | {"note": f"{line.note}; at {commit[:8]}"} for line in lines]
    run_record.save(document | {"entries": [*others, *fresh]}, RESULT)


if __name__ == "__main__":
    sys.exit(main())
