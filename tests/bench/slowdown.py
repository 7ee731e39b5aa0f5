"""house.slowdown.*: entries of the bench after a change beside before it, by turns in one run.

    python -m tests.bench.slowdown --before FOLDER [--pairs 10] [--rounds 5] [--keep] ID ...

FOLDER is a checkout of the commit before, installed by its own `make install`. In each pair both
trees measure the entries, and who begins changes from pair to pair. `decode.path.*` and `front.*`:
both stacks stand side by side (`slowdown_side`), a pair is one turn of each, and a first pair warms
up; what rivals do is not measured. Others: a pair is two runs of the bench. Value: how many times
as dear an entry is after the change; where more is better (a rate), how many times as slow. Of runs
it is the mean of the pairs' logarithms, with Student's t as interval. Of turns it is the median of
the pairs, with the interval of the sign test: in one pair of some twenty the machine does something
else, and no mean of turns tells much then. What is added (`front.*` but the rate) may be nothing in
a turn, and has no logarithm: mean after over mean before, interval by bootstrap over the pairs.
`--keep` writes deploy/bench/house.json.
"""

import argparse
import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress, track

from tests import run_record
from tests.bench.__main__ import ALL_IDS
from tests.bench.built_model import built_model
from tests.bench.decode_path import IN_FLIGHT, RATE, REQUESTS, Prompts
from tests.bench.figures import Entry
from tests.bench.harness import FEWEST_ROUNDS, Run
from tests.bench.report import show
from tests.bench.steady_cores import awake_cores
from tests.bench.worker import Worker, started

RESULT = Path("deploy/bench/house.json")
PREFIX = "house.slowdown."
SIDE = Path(__file__).with_name("slowdown_side.py")
MOST, MOST_OF_FRONT = 1.03, 1.10
FRONT = {
    "front.added.p50": ("added.p50", "ms added"),
    "front.added.p99": ("added.p99", "ms added"),
    "front.ttft.p99": ("ttft.p99", "ms added"),
    "front.rate": ("rate", "requests per CPU/s"),
}
"""Their figures and units."""
SERVED = dict.fromkeys(IN_FLIGHT, "decode") | dict.fromkeys(FRONT, "front")
"""What is measured by turns, and of which stack."""
FRONT_REQUESTS = 2000
FEWEST_TURNS = 6
"""The sign test has no 95 % interval of fewer."""
FEWEST_REQUESTS = 16
"""Of a turn of `decode.path.*`: at one in flight the bench's four take under three seconds."""
TURNS_A_PAIR = 2
"""At most, since some are left out."""
DRAWS = 10_000
"""Of the bootstrap."""
T_975 = (
    *(12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
"""Student's t for a 95 % interval of 2 to 21 pairs."""

Pair = tuple[float, float]
"""Before and after the change."""


def measured(tree: Path, name: str, rounds: int) -> tuple[float, str] | None:
    """Value and unit of an entry, as a checkout measures it; None where its floor varied."""
    command = [".venv/bin/python", "-m", "tests.bench", name, "--rounds", str(rounds)]
    done = subprocess.run(command, cwd=tree, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        return None
    document = json.loads((tree / "build" / "bench.json").read_bytes())
    return next((one["value"], one["unit"]) for one in document["entries"] if one["id"] == name)


def by_runs(
    trees: Sequence[Path], ids: Sequence[str], pairs: int, rounds: int
) -> dict[str, tuple[list[Pair], str]]:
    """Pairs and unit of each entry, a run of the bench for each value.

    A turn in which a run gave no figure is left out, whatever the other gave.

    Raises:
        RuntimeError: the machine is too noisy: of twice as many turns too few gave both.
    """
    found: dict[str, tuple[list[Pair], str]] = {}
    for name in ids:
        got: list[Pair] = []
        for number in track(range(TURNS_A_PAIR * pairs), f"turns of {name}"):
            turn = trees[:: 1 if number % 2 == 0 else -1]
            values = {tree: measured(tree, name, rounds) for tree in turn}
            before, after = (values[tree] for tree in trees)
            if before is None or after is None:
                print(f"turn {number + 1} of {name} left out: a floor varied")
                continue
            got.append((before[0], after[0]))
            found[name] = got, after[1]
            if len(got) == pairs:
                break
        if len(got) < pairs:
            raise RuntimeError(f"{name}: {len(got)} of {pairs} pairs. Measure on an idle machine")
    return found


async def by_turns(
    trees: Sequence[Path], served: str, ids: Sequence[str], pairs: int
) -> dict[str, tuple[list[Pair], str]]:
    """Pairs and unit of each entry, of two stacks that stand side by side."""
    progress = Progress(disable=True)
    model = await built_model(Run(progress, progress.add_task("")))
    found: dict[str, list[Pair]] = {name: [] for name in ids}
    async with AsyncExitStack() as stack:
        sides = [
            await stack.enter_async_context(
                started(
                    [str(tree / ".venv/bin/python"), str(SIDE), served, str(model.int8.resolve())],
                    f"slowdown_{name}",
                    folder=tree,
                    environment={"PYTHONPATH": str(tree)},
                )
            )
            for tree, name in zip(trees, ("before", "after"), strict=True)
        ]
        if served == "front":
            stack.enter_context(awake_cores())
        prompts = Prompts()
        for number in track(range(pairs + 1), f"pairs of {', '.join(ids)}"):
            turn = (0, 1) if number % 2 == 0 else (1, 0)
            values = await _pair(sides, turn, served, ids, prompts)
            for name in ids if number else ():
                found[name].append((values[0][name], values[1][name]))
    units = {name: FRONT[name][1] if served == "front" else RATE for name in ids}
    return {name: (found[name], units[name]) for name in ids}


async def _pair(
    sides: Sequence[Worker],
    turn: Sequence[int],
    served: str,
    ids: Sequence[str],
    prompts: Prompts,
) -> dict[int, Mapping[str, float]]:
    """What each side measured of each entry, in one pair."""
    values: dict[int, dict[str, float]] = {0: {}, 1: {}}
    if served == "front":
        for number in turn:
            figures = await sides[number].ask(requests=FRONT_REQUESTS)
            values[number] = {name: figures[FRONT[name][0]] for name in ids}
        return dict(values)
    for name in ids:
        in_flight = IN_FLIGHT[name]
        asked = prompts.take(max(REQUESTS[in_flight], FEWEST_REQUESTS))
        for number in turn:
            # What waited for its turn has lost its caches, and perhaps pages.
            await sides[number].ask(prompts=prompts.take(in_flight), in_flight=in_flight)
            figures = await sides[number].ask(prompts=asked, in_flight=in_flight)
            values[number][name] = figures[RATE]
    return dict(values)


def cost_ratio(before: float, after: float, unit: str) -> float:
    """How many times as dear it is after the change."""
    return before / after if "/s" in unit else after / before


def median_of(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The median between the ends of its interval by the sign test: the innermost two of the sorted
    ratios that lie around it with at least 95 %."""
    count = len(ratios)
    outside, left_out = 0.0, -1
    while outside <= 0.025:
        left_out += 1
        outside += math.comb(count, left_out) / 2**count
    ordered = sorted(ratios)
    return ordered[left_out - 1], float(np.median(ordered)), ordered[count - left_out]


def geometric_mean(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The mean of the logarithms between the ends of its interval by Student's t."""
    logs = np.log(ratios)
    half = T_975[len(logs) - 2] * logs.std(ddof=1) / math.sqrt(len(logs))
    low, ratio, high = np.exp(logs.mean() + np.array([-half, 0.0, half]))
    return float(low), float(ratio), float(high)


def entry(name: str, pairs: Sequence[Pair], unit: str) -> Entry:
    """The figure of the pairs of one entry; at least two."""
    values = np.array(pairs)
    if "added" in unit:
        draws = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
        before, after = values.mean(axis=0)
        ratio = float(after / before)
        sums = values[draws].sum(axis=1)
        low, high = np.quantile(sums[:, 1] / sums[:, 0], [0.025, 0.975])
        shown = ", ".join(f"{before:.2f} to {after:.2f}" for before, after in pairs)
    else:
        ratios = [cost_ratio(*pair, unit) for pair in pairs]
        low, ratio, high = median_of(ratios) if name in SERVED else geometric_mean(ratios)
        shown = ", ".join(f"{one:.3f}" for one in ratios)
    most = MOST_OF_FRONT if name.startswith("front.") else MOST
    return Entry(
        id=PREFIX + name,
        value=float(np.median(values[:, 1])),
        unit=unit,
        against="the same before the change",
        ratio=float(ratio),
        ci95=(float(low), float(high)),
        goal=f"upper bound <= {most:g}",
        met=bool(high <= most),
        note=f"{len(pairs)} pairs: {shown}",
    )


def main() -> int:
    """Measure by turns, show, and keep if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.slowdown", description=__doc__)
    parser.add_argument("ids", nargs="+", choices=ALL_IDS, metavar="ID")
    parser.add_argument("--before", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--pairs", type=int, default=10, help="6 or 2 to 21 (%(default)s)")
    parser.add_argument("--rounds", type=int, default=FEWEST_ROUNDS, help="of a run of the bench")
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT}")
    given = parser.parse_args()
    fewest = FEWEST_TURNS if {*given.ids} & {*SERVED} else 2
    if not fewest <= given.pairs <= len(T_975) + 1 or given.rounds < FEWEST_ROUNDS:
        parser.error(f"--pairs must be {fewest} to 21 and --rounds at least {FEWEST_ROUNDS}")
    console = Console()
    trees = [given.before.resolve(), Path.cwd()]
    found: dict[str, tuple[list[Pair], str]] = {}
    for what in ("decode", "front"):
        if ids := [name for name in given.ids if SERVED.get(name) == what]:
            found |= asyncio.run(by_turns(trees, what, ids, given.pairs))
    if ids := [name for name in given.ids if name not in SERVED]:
        found |= by_runs(trees, ids, given.pairs, given.rounds)
    lines = [entry(name, pairs, unit) for name, (pairs, unit) in found.items()]
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
