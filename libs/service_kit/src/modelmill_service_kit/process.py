"""Life cycle of a service process: startup, configuration errors, shutdown."""

import asyncio
import faulthandler
import os
import re
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from modelmill_service_kit.errors import DomainError
from modelmill_service_kit.metrics import machine_metrics
from modelmill_service_kit.settings import (
    BEYOND_DRAIN_SECONDS,
    EndingSettings,
    ServiceSettings,
)
from modelmill_service_kit.telemetry import switch_debug_lines, telemetry

PARTS = 5
"""The timer is set back so many times within the limit."""


@asynccontextmanager
async def ended_when_blocked(seconds: float) -> AsyncIterator[None]:
    """Watchdog that ends the process if its event loop is blocked for `seconds`.

    One timer exists per process, so there may be one such block at a time. A process that was
    frozen (SIGSTOP) for longer ends when it runs again; sleep of the whole machine does not count.

    A blocked loop answers no probe, and code that holds the interpreter's lock (a long integer
    power, a regular expression) keeps every Python thread of the process from noticing. The timer
    of `faulthandler` is a thread that needs no lock: it writes the stack of every thread to stderr,
    which names the line that blocks, and ends the process with status 1.
    """
    interval = seconds / PARTS

    def set_back() -> None:
        faulthandler.dump_traceback_later(seconds + interval, exit=True, file=sys.stderr)

    async def keep_setting_back() -> None:
        while True:
            await asyncio.sleep(interval)
            set_back()

    set_back()  # the block may hold the loop from its first line on
    beating = asyncio.create_task(keep_setting_back(), name="liveness")
    try:
        yield
    finally:
        beating.cancel()
        faulthandler.cancel_dump_traceback_later()


STOP_ON_EOF = "MODELMILL_STOP_ON_STDIN_EOF"
"""Set to 1 by a supervisor that holds our stdin open: when it dies, however it dies, we stop."""

LAME_DUCK = signal.SIGUSR2
"""Lame duck mode, by the signal that NATS has for it: end as on SIGTERM, but with notice and with
time, for a successor takes new calls already."""

LAME_DUCK_NOTICE_SECONDS = 1.0
"""Callers hear of it within milliseconds, where they keep a connection."""


class Stopping(asyncio.Event):
    """Set when the process shall end."""

    is_lame_duck = False
    """Whether a successor runs beside it."""
    ending: "Ending | None" = None
    """Of this process, once it ends."""


class Ending:
    """How a service leaves its callers: one deadline, from now on, for all that it does about it.

    Args:
        notice_seconds: it says that it leaves, and still answers.
        drain_seconds: calls in hand may go on for so long after that; no more are taken.
        has_successor: which takes new calls already.
    """

    def __init__(
        self, notice_seconds: float, drain_seconds: float, *, has_successor: bool = False
    ) -> None:
        self.notice_seconds = notice_seconds
        self.has_successor = has_successor
        self.was_cut = asyncio.Event()
        """Set once the deadline was brought forward."""
        self._deadline = time.monotonic() + notice_seconds + drain_seconds

    @classmethod
    def of(cls, stopping: asyncio.Event, settings: EndingSettings) -> "Ending":
        """As the settings say; the same one each time that the process asks."""
        if not isinstance(stopping, Stopping):
            return cls.ordinary(settings)
        if stopping.ending is None:
            make = cls.lame_duck if stopping.is_lame_duck else cls.ordinary
            stopping.ending = make(settings)
        return stopping.ending

    @classmethod
    def ordinary(cls, settings: EndingSettings) -> "Ending":
        """Of a service that is missed until another one is started."""
        return cls(settings.drain_notice_seconds, settings.drain_seconds)

    @classmethod
    def lame_duck(cls, settings: EndingSettings) -> "Ending":
        """Of a service whose successor runs."""
        notice = max(settings.drain_notice_seconds, LAME_DUCK_NOTICE_SECONDS)
        return cls(notice, settings.lame_duck_drain_seconds, has_successor=True)

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return max(0.0, self._deadline - time.monotonic())

    @property
    def longest_seconds(self) -> float:
        """Until the process has ended: what is left at the deadline is closed."""
        return self.seconds_left + BEYOND_DRAIN_SECONDS

    def cut_to(self, other: "Ending") -> None:
        """Bring the deadline forward to the other's, if that one is earlier."""
        self._deadline = min(self._deadline, other._deadline)
        self.was_cut.set()

    async def wait_for(self, work: "asyncio.Future[Any]") -> bool:
        """Wait for the work, which goes on, until the deadline; whether it is done."""
        deadline = asyncio.create_task(self._reached())
        try:
            await asyncio.wait({work, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deadline.cancel()
        return work.done()

    async def _reached(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.was_cut.wait(), self.seconds_left)
        await asyncio.sleep(self.seconds_left)


ALIKE = 0.85
"""Of a misspelt setting and the one that is meant, as `difflib` compares."""
OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_")
SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def run_service(
    name: str,
    settings_type: type[SettingsT],
    serve: Callable[[SettingsT, asyncio.Event], Awaitable[None]],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run `serve(settings, stopping)` until it returns; SIGTERM and SIGINT set `stopping`.

    So does LAME_DUCK, and says that a successor runs (see `Stopping`). One of the others after it
    leaves calls in hand no more time than if it had come first.

    What a person can mend (a missing setting, a taken port, no permission on a folder) ends the
    process with one line and status 2. Anything else is a bug and keeps its traceback.

    Args:
        loop_factory: makes the event loop; without it asyncio's own is used.
    """
    settings = _settings(name, settings_type)
    try:
        with (
            telemetry(name, settings),
            machine_metrics(name, settings.artifact_disk),
            asyncio.Runner(loop_factory=loop_factory) as runner,
        ):
            runner.run(_until_stopped(settings, serve))
    except (DomainError, OSError) as error:
        sys.exit(_fail(name, str(error)))


def _settings(name: str, settings_type: type[SettingsT]) -> SettingsT:
    """By the environment; says what is wrong with it, and ends."""
    try:
        settings = settings_type()
    except ValidationError as error:
        prefix = settings_type.model_config.get("env_prefix", "")
        wrong = ", ".join(_wrong_setting(prefix, one) for one in error.errors())
        sys.exit(_fail(name, f"settings are missing or wrong: {wrong}"))
    except SettingsError as error:
        prefix = settings_type.model_config.get("env_prefix", "")
        sys.exit(_fail(name, f"settings are missing or wrong: {_unread_setting(prefix, error)}"))
    except DomainError as error:
        sys.exit(_fail(name, str(error)))
    for misspelt, meant in misspelt_settings(settings_type, os.environ).items():
        print(f"{name}: {misspelt} is no setting. Did you mean {meant}?", file=sys.stderr)
    return settings


async def _until_stopped(
    settings: SettingsT, serve: Callable[[SettingsT, asyncio.Event], Awaitable[None]]
) -> None:
    stopping = Stopping()
    loop = asyncio.get_running_loop()

    def stop(*, is_lame_duck: bool = False) -> None:
        if not stopping.is_set():
            stopping.is_lame_duck = is_lame_duck
            stopping.set()
        elif stopping.is_lame_duck and not is_lame_duck:  # whoever looks after it ends, too
            Ending.of(stopping, settings).cut_to(Ending.ordinary(settings))
        else:
            return
        _end_at_last(Ending.of(stopping, settings).longest_seconds)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(LAME_DUCK, lambda: stop(is_lame_duck=True))
    loop.add_signal_handler(signal.SIGUSR1, switch_debug_lines)
    if os.environ.get(STOP_ON_EOF) == "1":

        def wait_for_eof() -> None:
            # Unbuffered: the interpreter cannot end while a thread is inside a buffered stdin.
            while os.read(sys.stdin.fileno(), 4096):
                pass
            with suppress(RuntimeError):  # the loop is closed: we are stopping anyway
                loop.call_soon_threadsafe(stop)

        threading.Thread(target=wait_for_eof, daemon=True, name="supervisor watch").start()
    async with ended_when_blocked(settings.blocked_seconds):
        await serve(settings, stopping)


def _end_at_last(seconds: float) -> None:
    """End the process after `seconds`, whatever still runs in it.

    Expected: a cancelled task ends. Actual: nats-py, while it looks for a broker that is gone, can
    lose a cancel and go on for ever, and nobody is left to kill a service whose supervisor died.
    """

    def end() -> None:
        with suppress(OSError):  # nobody may be left to read it
            print(f"did not stop within {seconds:g} s; ending", file=sys.stderr, flush=True)
        os._exit(3)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _wrong_setting(prefix: str, error: ErrorDetails) -> str:
    """The setting's name and what is wrong, never its value; of a rule about several, the rule."""
    said = str(error.get("ctx", {}).get("error", error["msg"]))
    if not error["loc"]:
        return said
    setting = f"{prefix}{'.'.join(map(str, error['loc']))}".upper()
    return f"{setting} ({said[:1].lower()}{said[1:]})"


def _unread_setting(prefix: str, error: SettingsError) -> str:
    """The setting that is no JSON, and where it ends to be; the words of both quote no value."""
    found = re.search(r'field "(\w+)"', str(error))
    setting = f"{prefix}{found[1]}".upper() if found else str(error)
    return f"{setting} (no JSON: {error.__cause__})"


def misspelt_settings(
    settings_type: type[ServiceSettings], environment: Mapping[str, str]
) -> dict[str, str]:
    """Variables that look like a setting and are none, with the one that may be meant.

    Kubernetes sets variables of its own, whose names begin with those of services.
    """
    prefix = settings_type.model_config.get("env_prefix", "")
    known = [f"{prefix}{field}".upper() for field in settings_type.model_fields]
    known += [f"{each}_FILE" for each in known]
    found = {}
    for name, value in environment.items():
        is_ours = name.startswith(prefix) and not OF_KUBERNETES.search(name)
        if is_ours and name not in known and not value.startswith("tcp://"):
            for meant in get_close_matches(name, known, n=1, cutoff=ALIKE):
                found[name] = meant
    return found


def _fail(name: str, message: str) -> int:
    print(f"{name}: {message}", file=sys.stderr)
    return 2


def announce_ready(**ports: int) -> None:
    """Print the READY line with the ports, for the supervisor."""
    print("READY", *(f"{name}={port}" for name, port in ports.items()), flush=True)
