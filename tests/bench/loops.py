"""house.loop.*: what the test loops of a developer take, from the call of `make` to its end.

    python -m tests.bench.loops [--only quick check test ci] [--keep]

`quick` three times, `check` twice, `test` and `ci` once, each after one `make install`. `quick` is
that of the last commit of a clean main; the note says how many tests that was. `ci` is `.ci/run`
from a clean clone, without Docker's daemon running before. The value is the median; its interval is
the fastest and the slowest over the goal. Needs an idle machine: the goals are of two cores.
A loop in which a test fails has no time, and ends the run with what it printed last.
`--keep` writes deploy/bench/house.json, in place of the entries of the same ids there.
"""

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Entry
from tests.bench.kept_entries import run_groups

ROOT = Path(__file__).parents[2]
RESULT = Path("deploy/bench/house.json")
MINUTE = 60.0
PASSED = re.compile(r"(\d+) passed")


@dataclass(frozen=True)
class Loop:
    """One command, how often it runs, and the seconds that it may take."""

    command: Sequence[str]
    times: int
    most_seconds: float


LOOPS: Mapping[str, Loop] = {
    "quick": Loop(("make", "quick"), 3, MINUTE),
    "check": Loop(("make", "check"), 2, 3 * MINUTE),
    "test": Loop(("make", "test"), 1, 10 * MINUTE),
    "ci": Loop((".ci/run",), 1, 40 * MINUTE),
}


class LoopFailedError(Exception):
    """A loop ended with a failure; the message is the end of what it printed."""


def measured(name: str, loop: Loop) -> list[Entry]:
    """The loop's one entry.

    Raises:
        LoopFailedError: a run of it failed.
    """
    subprocess.run(["make", "install"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    run = _in_clean_clone if name == "ci" else _run
    runs = [run(loop) for _ in range(loop.times)]
    seconds = [each for each, _ in runs]
    value = statistics.median(seconds)
    tests = sum(int(found) for found in PASSED.findall(runs[-1][1]))
    return [
        Entry(
            id=f"house.loop.{name}",
            value=value,
            unit="s",
            against=f"{loop.most_seconds:g} s",
            ratio=value / loop.most_seconds,
            goal="ratio <= 1",
            met=value <= loop.most_seconds,
            ci95=(min(seconds) / loop.most_seconds, max(seconds) / loop.most_seconds),
            note=f"{tests:,} tests passed; {loop.times} runs, of which the interval is",
        )
    ]


def _in_clean_clone(loop: Loop) -> tuple[float, str]:
    with TemporaryDirectory(prefix="loop-") as folder:
        subprocess.run(["git", "clone", "-q", str(ROOT), folder], check=True)
        return _run(loop, Path(folder))


def _run(loop: Loop, folder: Path = ROOT) -> tuple[float, str]:
    began = time.monotonic()
    done = subprocess.run(
        loop.command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise LoopFailedError(f"{' '.join(loop.command)} failed: {done.stdout[-2000:]}")
    return seconds, done.stdout


GROUPS: Mapping[str, Callable[[], Sequence[Entry]]] = {
    name: partial(measured, name, loop) for name, loop in LOOPS.items()
}


if __name__ == "__main__":
    sys.exit(run_groups("tests.bench.loops", GROUPS, RESULT))
