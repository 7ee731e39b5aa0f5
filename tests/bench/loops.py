"""house.loop.*: what the test loops of a developer take, from the call of `make` to its end.

    python -m tests.bench.loops [--only quick check ci] [--keep]

`quick` three times, `check` twice, `ci` once, each after one `make install`. `quick` is that of the
last commit of a clean main; the note says how many tests that was. `ci` is `.ci/run` from a clean
clone, without Docker's daemon running before; `test` is `make test` as one of its parts. The value
is the median; its interval is the fastest and the slowest over the goal. Needs an idle machine: the
goals are of two cores.
A loop in which a test fails has no time, and ends the run with what it printed last; all that it
printed is in build/loop.log.
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
LOG = ROOT / "build" / "loop.log"
MINUTE = 60.0
PASSED = re.compile(r"(\d+) passed")
PART = re.compile(r"^== (?P<name>.*) \(after (?P<seconds>\d+) s\)$", re.M)
TEST_SECONDS = 10 * MINUTE


@dataclass(frozen=True)
class Loop:
    """One command, how often it runs, and the seconds that it may take."""

    command: Sequence[str]
    times: int
    most_seconds: float


LOOPS: Mapping[str, Loop] = {
    "quick": Loop(("make", "quick"), 3, MINUTE),
    "check": Loop(("make", "check"), 2, 3 * MINUTE),
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
    entries = [_entry(name, [seconds for seconds, _ in runs], loop.most_seconds, runs[-1][1])]
    if name == "ci":
        seconds, printed = tests_part(runs[-1][1])
        entries.append(_entry("test", [seconds], TEST_SECONDS, printed))
    return entries


def tests_part(printed: str) -> tuple[float, str]:
    """The seconds that `make test` took as a part of `.ci/run`, and what it printed."""
    parts = list(PART.finditer(printed))
    number = next(at for at, part in enumerate(parts) if part["name"] == "tests")
    begin, end = parts[number], parts[number + 1]
    return float(end["seconds"]) - float(begin["seconds"]), printed[begin.end() : end.start()]


def _entry(name: str, seconds: Sequence[float], most_seconds: float, printed: str) -> Entry:
    value = statistics.median(seconds)
    tests = sum(int(found) for found in PASSED.findall(printed))
    return Entry(
        id=f"house.loop.{name}",
        value=value,
        unit="s",
        against=f"{most_seconds:g} s",
        ratio=value / most_seconds,
        goal="ratio <= 1",
        met=value <= most_seconds,
        ci95=(min(seconds) / most_seconds, max(seconds) / most_seconds),
        note=f"{tests:,} tests passed; {len(seconds)} runs, of which the interval is",
    )


def _in_clean_clone(loop: Loop) -> tuple[float, str]:
    with TemporaryDirectory(prefix="loop-") as folder:
        subprocess.run(["git", "clone", "-q", str(ROOT), folder], check=True)
        return _run(loop, Path(folder))


def _run(loop: Loop, folder: Path = ROOT) -> tuple[float, str]:
    LOG.parent.mkdir(exist_ok=True)
    began = time.monotonic()
    with LOG.open("wb") as log:
        done = subprocess.run(loop.command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    seconds, printed = time.monotonic() - began, LOG.read_text(errors="replace")
    if done.returncode:
        raise LoopFailedError(f"{' '.join(loop.command)} failed: {printed[-2000:]}")
    return seconds, printed


GROUPS: Mapping[str, Callable[[], Sequence[Entry]]] = {
    name: partial(measured, name, loop) for name, loop in LOOPS.items()
}


if __name__ == "__main__":
    sys.exit(run_groups("tests.bench.loops", GROUPS, RESULT))
