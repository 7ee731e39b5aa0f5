"""operators.doctor.*, operators.alerts.*, operators.panels: what watches an installation, and sees.

    python -m tests.bench.doctor [--only GROUP ...] [--keep]

No figure is a time, so the machine may be busy. `operators.doctor.planted`: of the problems of
`tests/doctor`, those that `mill doctor` finds by their check and by no other.
`operators.doctor.false`: findings beside a healthy `mill up`, what the machine itself is short of
left out. `operators.alerts`: of all alerts, those that promtool saw wait, fire and resolve, and
whose runbook is there. `--keep` writes deploy/bench/operators.json, in place of the entries of the
same ids there; each entry has the commit and date of its own run.
"""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from modelmill_cli.doctor import machine
from modelmill_cli.doctor.diagnose import diagnose, examine
from modelmill_cli.stack import StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder
from modelmill_testkit.shared_nats import shared_nats

from tests.bench.figures import Entry, all_of
from tests.bench.kept_entries import run_groups
from tests.doctor.broker import beside, plant_in, seen
from tests.doctor.planted import PLANTED, PLANTED_IN_BROKER, healthy
from tests.telemetry.alert_rules import alerts, page_of
from tests.telemetry.alert_units import UNITS, write_units

RESULT = Path("deploy/bench/operators.json")
LEAST_PLANTED = 25


def doctor_entries() -> list[Entry]:
    """Planted problems, and a healthy stack."""
    found = asyncio.run(_planted())
    right = [name for name, checks in found.items() if checks == {name}]
    others = [f"{name}: {sorted(checks)}" for name, checks in found.items() if name not in right]
    false = asyncio.run(_beside_a_healthy_stack())
    return [
        all_of(
            "operators.doctor.planted",
            len(right),
            len(found),
            "problems",
            least=LEAST_PLANTED,
            note="; ".join([*found, *others]),
        ),
        Entry(
            "operators.doctor.false",
            len(false),
            "findings",
            "no rival",
            1.0,
            "0",
            not false,
            (len(false), len(false)),
            f"beside a running `mill up --tls`: {', '.join(false) or 'none'}",
        ),
    ]


async def _planted() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with TemporaryDirectory(prefix="doctor-") as place:
        for name, plant in PLANTED.items():
            it = plant(healthy(Path(place, name)))
            found[name] = {each.check for each in diagnose(it)}
        well = healthy(Path(place, "well"))
        for name in PLANTED_IN_BROKER:
            async with shared_nats() as server:
                await plant_in(server, name)
                it = beside(well, await seen(server))
            found[name] = {each.check for each in diagnose(it)}
    return found


async def _beside_a_healthy_stack() -> list[str]:
    of_the_machine = {check.id for check in machine.CHECKS}
    with TemporaryDirectory(prefix="doctor-") as place:
        state, options = StateFolder(Path(place, "state")), StackOptions(http_port=0, tls=True)
        async with running_stack(state, options, lambda _name, _line: None):
            it = await examine(state, ports={})
            return [each.check for each in diagnose(it) if each.check not in of_the_machine]


def alert_entries() -> list[Entry]:
    """Alerts that promtool sees wait, fire and resolve."""
    rules = alerts()
    with TemporaryDirectory(prefix="alerts-") as place:
        passed = [
            name for name in UNITS if name in rules and _passes(write_units(Path(place), [name]))
        ]
    pages = [name for name in rules if page_of(rules[name]).is_file()]
    whole = [name for name in passed if name in pages]
    missing = [name for name in rules if name not in whole]
    note = f"{len(pages)} runbook pages; {', '.join(missing) or 'each alert'}"
    return [all_of("operators.alerts", len(whole), len(rules), "alerts", least=1, note=note)]


def _passes(file: Path) -> bool:
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, timeout=60)
    return done.returncode == 0


GROUPS: Mapping[str, Callable[[], Sequence[Entry]]] = {
    "doctor": doctor_entries,
    "alerts": alert_entries,
}


if __name__ == "__main__":
    sys.exit(run_groups("tests.bench.doctor", GROUPS, RESULT))
