"""operators.roll.*: services are replaced under load, by themselves and by another version.

    python -m tests.bench.rolling [--only restart upgrade control] [--keep]

A `mill up` with two gateway processes and a tiny model, under steady chats, streams and jobs of
callers that never ask twice, half of whom connect anew for each request. `restart`: each service is
replaced in turn. `upgrade`: a `mill up` of the last recorded release, built from its commit, whose
services are replaced by those of this tree, and then back. `control`: as `restart`, but those that
end are told so by SIGTERM alone, without notice; its failures are what the notice prevents. No
figure is a time, so the machine may be busy. `--keep` writes deploy/bench/operators.json, in place
of the entries of the same ids there.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tests.bench.figures import Entry
from tests.bench.kept_entries import run_groups
from tests.rolling.drill import Drill, under_load
from tests.rolling.installation import install_last_release
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
    """From the last release to this tree, and back."""
    with tempfile.TemporaryDirectory(prefix="modelmill-upgrade-") as place:
        last = install_last_release(Path(place))
        tally = asyncio.run(_rolled([sys.executable, last.python], begin=last.python))
    what = f"each of {len(SERVICES)} services from {last.version} to {version('modelmill')}"
    return _entries("upgrade", tally, f"{what}, and back")


def control_entries() -> list[Entry]:
    """Without notice."""
    tally = asyncio.run(_without_notice())
    failed = len(tally.failed)
    note = f"without drain notice: {_counts(tally)}; {_kinds(tally)}"
    met = failed > 0
    return [_entry("control.failed", failed, "requests", "> 0", met, note)]


async def _rolled(pythons: Sequence[str], *, begin: str = sys.executable) -> Tally:
    async with under_load(begin) as drill:
        print(f"runs {_versions(drill)}", flush=True)
        for python in pythons:
            replaced = await drill.replace(python=python, say=partial(print, flush=True))
            assert len(replaced) == len(SERVICES), replaced
            print(f"runs {_versions(drill)}", flush=True)
            await drill.load.more(5)
        await drill.load.stop()
        return drill.load.tally


def _versions(drill: Drill) -> str:
    """Of all services; one where all are of one release."""
    return ", ".join(sorted({str(each) for each in drill.versions().values()}))


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
