"""operators.roll.*: services are replaced under load, by themselves and by another version.

    python -m tests.bench.rolling [--only restart upgrade control] [--keep]

A `mill up` with two gateway processes and a tiny model, under steady chats, streams and jobs of
callers that never ask twice, half of whom connect anew for each request. `restart`: each service is
replaced in turn. `upgrade`: by wheels of another version in an environment of their own, and then
back. `control`: as `restart`, but those that end are told so by SIGTERM alone, without notice; its
failures are what the notice prevents. No figure is a time, so the machine may be busy. `--keep`
writes deploy/bench/operators.json, in place of the entries of the same ids there.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.bench.figures import Entry
from tests.bench.kept_entries import run_groups
from tests.rolling.drill import under_load
from tests.rolling.installation import other_installation
from tests.rolling.load import Tally
from tests.supervision.site import SERVICES

RESULT = Path("deploy/bench/operators.json")
ROUNDS = 3
MOST_CONTROLS = 10
"""Rounds after which a control without a failure has shown nothing."""


def restart_entries() -> list[Entry]:
    """Replaced by themselves."""
    tally = asyncio.run(_rolled([sys.executable] * ROUNDS))
    return _entries("restart", tally, f"each of {len(SERVICES)} services replaced {ROUNDS} times")


def upgrade_entries() -> list[Entry]:
    """Replaced by another version, and back."""
    with tempfile.TemporaryDirectory(prefix="modelmill-upgrade-") as place:
        other = other_installation(Path(place))
        tally = asyncio.run(_rolled([other, sys.executable]))
    return _entries("upgrade", tally, f"each of {len(SERVICES)} services to other wheels, and back")


def control_entries() -> list[Entry]:
    """Without notice."""
    tally = asyncio.run(_without_notice())
    failed = len(tally.failed)
    note = f"without drain notice: {_counts(tally)}; {_kinds(tally)}"
    met = failed > 0
    return [_entry("control.failed", failed, "requests", "> 0", met, note)]


async def _rolled(pythons: Sequence[str]) -> Tally:
    async with under_load() as drill:
        for python in pythons:
            replaced = await drill.replace(python=python, say=partial(print, flush=True))
            assert len(replaced) == len(SERVICES), replaced
            await drill.load.more(5)
        await drill.load.stop()
        return drill.load.tally


async def _without_notice() -> Tally:
    async with under_load() as drill:
        for _ in range(MOST_CONTROLS):
            await drill.replace(with_notice=False, say=partial(print, flush=True))
            if drill.load.tally.failed:
                break
        await drill.load.stop()
        return drill.load.tally


def _entries(name: str, tally: Tally, what: str) -> list[Entry]:
    note = f"{what}; {_counts(tally)}"
    failed, lost = len(tally.failed), len(tally.lost)
    return [
        _entry(f"{name}.failed", failed, "requests", "0", failed == 0, f"{note}; {_kinds(tally)}"),
        _entry(f"{name}.lost", lost, "jobs", "0", lost == 0 and bool(tally.jobs), note),
    ]


def _entry(name: str, value: int, unit: str, goal: str, met: bool, note: str) -> Entry:
    point = (float(value), float(value))
    return Entry(f"operators.roll.{name}", value, unit, "no rival", 1.0, goal, met, point, note)


def _counts(tally: Tally) -> str:
    done = ", ".join(f"{count} of {kind}" for kind, count in sorted(tally.answered.items()))
    return f"answered: {done}; {len(tally.jobs)} jobs accepted"


def _kinds(tally: Tally) -> str:
    return "; ".join(sorted(set(tally.failed))[:5]) or "no failure"


GROUPS: Mapping[str, Callable[[], Sequence[Entry]]] = {
    "restart": restart_entries,
    "upgrade": upgrade_entries,
    "control": control_entries,
}


if __name__ == "__main__":
    sys.exit(run_groups("tests.bench.rolling", GROUPS, RESULT))
