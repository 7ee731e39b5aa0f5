"""All checks, and what they read."""

import asyncio
import fcntl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from modelmill_bus import stream_checks
from modelmill_service_kit.checks import Check, Finding, found_by
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.doctor import (
    artifacts,
    broker_settings,
    certificate_files,
    installation,
    machine,
    processes,
    state_files,
)
from modelmill_cli.doctor.examined import Examined
from modelmill_cli.state_folder import Runtime, StateFolder

CHECKS: Sequence[Check[Examined]] = (
    *machine.CHECKS,
    *installation.CHECKS,
    *state_files.CHECKS,
    *certificate_files.CHECKS,
    *broker_settings.CHECKS,
    *stream_checks.CHECKS,
    *processes.CHECKS,
    *artifacts.CHECKS,
)


async def examine(
    state: StateFolder,
    *,
    ports: Mapping[str, int],
    broker_config: Path | None = None,
    clock: Callable[[], float] = time.time,
) -> Examined:
    """Read what the checks look at; a few seconds, nothing is changed.

    Args:
        ports: options of `mill up` and the ports that they would name.
        broker_config: of a broker that `mill up` did not start; by default that of the instance.
        clock: seconds since 1970.

    Raises:
        OSError: the given configuration cannot be read.
    """
    runtime = _runtime(state)
    running = await processes.examine_instance(runtime, clock) if runtime is not None else None
    return Examined(
        state=state,
        now=datetime.fromtimestamp(clock(), UTC),
        ports=ports,
        machine=await asyncio.to_thread(machine.examine_machine, state.path),
        installed=await asyncio.to_thread(installation.examine_installation),
        broker_config=_config_text(state, broker_config, is_running=running is not None),
        running=running,
        owner=_owner_of(state.path),
        is_starting=runtime is None and _is_held(state),
    )


def diagnose(it: Examined) -> Iterator[Finding]:
    """What all checks find, in their order."""
    return found_by(CHECKS, it)


def _runtime(state: StateFolder) -> Runtime | None:
    # What is wrong with its record is a finding of its own.
    with suppress(PreconditionError, OSError, ValueError, TypeError):
        return state.read_runtime()
    return None


def _config_text(state: StateFolder, given: Path | None, *, is_running: bool) -> str | None:
    if given is not None:
        return given.read_text("utf-8")
    with suppress(OSError):
        if is_running:
            return (state.path / "run" / "nats.conf").read_text("utf-8")
    return None


def _owner_of(folder: Path) -> int | None:
    with suppress(OSError):
        return folder.stat().st_uid
    return None


def _is_held(state: StateFolder) -> bool:
    """Whether a mill works on the folder."""
    with suppress(OSError), (state.path / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
