"""Keeps child processes running: starts them, reads their READY line, restarts, stops them."""

import asyncio
import os
import signal
import sys
import uuid
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from modelmill_service_kit.endings import MARK, kill_descendants, mark_below
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.process import STOP_ON_EOF

LINE_BYTES = 2**20


class StartedProcess(Process):
    """As `asyncio` has it, but `wait` returns when the process has ended.

    Expected of `Process.wait`: it returns when the process ends. Actual, before Python 3.13: it
    returns once all pipes to the process are closed, too, and children of the process that have
    inherited them keep them open (https://github.com/python/cpython/issues/119710).
    """

    _protocol: "_Protocol"
    _transport: asyncio.SubprocessTransport

    async def wait(self) -> int:
        """Its exit status, negative for a signal."""
        return await asyncio.shield(self._protocol.ended)

    def close(self) -> None:
        """Close our ends of its pipes; children of it may hold the others."""
        self._transport.close()


class _Protocol(SubprocessStreamProtocol):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=LINE_BYTES, loop=loop)
        self.ended: asyncio.Future[int] = loop.create_future()
        self._process: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own has the methods, but not the base class.
        self._process = cast(asyncio.SubprocessTransport, transport)
        super().connection_made(transport)

    def process_exited(self) -> None:
        assert self._process is not None
        status = self._process.get_returncode()
        assert status is not None
        self.ended.set_result(status)
        super().process_exited()


async def start_process(*argv: str, **options: Any) -> StartedProcess:
    """Start `argv`; options are those of `asyncio.create_subprocess_exec`."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(lambda: _Protocol(loop), *argv, **options)
    return StartedProcess(transport, protocol, loop)


STEADY_SECONDS = 30.0
"""Who ran so long did not end because of how it was started."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
MOST_SHORT_LIVES = 10


class CrashLoop:
    """Crash-loop detection: counts consecutive short runs.

    Args:
        most: so many of them, and it is not started again.
    """

    def __init__(self, most: int = MOST_SHORT_LIVES) -> None:
        self.short_lives = 0
        self._most = most

    def pause_after(self, lived_seconds: float) -> float | None:
        """Seconds until the next start; None when there is to be none."""
        if lived_seconds >= STEADY_SECONDS:
            self.short_lives = 0
            return FIRST_PAUSE_SECONDS
        self.short_lives += 1
        if self.short_lives >= self._most:
            return None
        doubled: float = FIRST_PAUSE_SECONDS * 2 ** (self.short_lives - 1)
        return min(doubled, LONGEST_PAUSE_SECONDS)


LogLine = Callable[[str, str], None]
"""Called with the process's name and one line of its output."""
START_SECONDS = 300.0
"""Enough for libraries read from a cold disk while all processors are busy."""
STOP_SECONDS = 20.0
READY = "READY"
WATCHDOG = "Timeout ("
"""Begins what `ended_when_blocked` prints; the stacks that follow say nothing to a user."""


class SupervisedProcess:
    """A process that is restarted when it ends, until `stop`.

    Its end is seen by its own end, whoever holds its pipes; then whatever it had started is killed,
    at any depth. It is given up after `most_short_lives` in a row (see `CrashLoop`).

    Args:
        name: shown before its log lines.
        argv: the command; `sys.executable` stands first for our own services.
        environment: its whole environment beyond the inherited one.
        on_line: receives every line of output but READY.
        ready_sign: what a line of its output has once it answers; without it a line that begins
            with READY, as ours say it.
        on_restart: called when it was started again, and is ready.
        stop_seconds: at a stop it is killed if it takes longer.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        on_line: LogLine,
        *,
        ready_sign: str | None = None,
        on_restart: Callable[[], None] | None = None,
        most_short_lives: int = MOST_SHORT_LIVES,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self.name = name
        above = environment.get(MARK) or os.environ.get(MARK, "")
        self._mark = mark_below(above, f"{name}-{uuid.uuid4().hex}")
        self.environment = {**environment, MARK: self._mark}
        self.ports: dict[str, int] = {}
        self.restarts = 0
        self._argv = argv
        self._on_line = on_line
        self._ready_sign = ready_sign
        self._on_restart = on_restart
        self._crashes = CrashLoop(most_short_lives)
        self._stop_seconds = stop_seconds
        self._process: StartedProcess | None = None
        self._started_at = 0.0
        self._watcher: asyncio.Task[None] | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._last_line = ""
        self._was_blocked = False

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        """Whether it has a process now; it has none between two of them."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and wait for its READY line.

        Raises:
            UnavailableError: it ended, or was not ready in time; the message says why.
        """
        ready = await self._launch()
        if not ready:
            raise UnavailableError(f"{self.name} did not start: {self._why()}")
        self._watcher = asyncio.create_task(self._keep_running(), name=f"watch {self.name}")

    async def given_up(self) -> None:
        """Wait for as long as it is kept running.

        Raises:
            UnavailableError: it is not started any more; the message says why.
        """
        assert self._watcher is not None, "not started"
        await asyncio.shield(self._watcher)

    async def _launch(self) -> bool:
        self._let_go()
        self._was_blocked = False
        self._started_at = asyncio.get_running_loop().time()
        starting = asyncio.ensure_future(self._spawn())
        try:
            self._process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Half a start would leave a process that nobody knows of; `stop` ends this one.
            self._process = await starting
            raise
        except OSError as error:  # no memory or no room for another process, as a rule
            self._hear(str(error))
            return False
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            self._readers.append(asyncio.create_task(self._read(stream, ready)))
        ended = asyncio.create_task(self._process.wait())
        either: list[asyncio.Future[Any]] = [ready, ended]
        await asyncio.wait(either, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not ready.done():
            # What it said last may still be on its way to us.
            await asyncio.wait(self._readers, timeout=1)
        return ready.done()

    async def _spawn(self) -> StartedProcess:
        return await start_process(
            *self._argv,
            stdin=PIPE,  # held open: its end tells the child that we are gone
            stdout=PIPE,
            stderr=PIPE,
            env=os.environ | self.environment | {STOP_ON_EOF: "1"},
            # Ctrl-C reaches the whole foreground group; children must wait for our SIGTERM instead.
            start_new_session=True,
        )

    async def _read(self, stream: asyncio.StreamReader, ready: "asyncio.Future[None]") -> None:
        while True:
            try:
                raw = await stream.readline()
            except ValueError:
                continue  # longer than any line of a log; what is not read would block the process
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip()
            if self._says_ready(line) and not ready.done():
                ready.set_result(None)
            if line.startswith(READY):
                pairs = (word.split("=") for word in line.split()[1:])
                self.ports = {name: int(port) for name, port in pairs}
            elif line:
                self._hear(line)

    def _says_ready(self, line: str) -> bool:
        return line.startswith(READY) if self._ready_sign is None else self._ready_sign in line

    def _why(self) -> str:
        if self.is_running:
            return (
                f"not ready within {START_SECONDS:g} s; the last line of its output: "
                f"{self._last_line or 'none'}"
            )
        if not self._was_blocked:
            return self._last_line or "no output"
        setting = f"{self.name.upper().replace('-', '_')}_BLOCKED_SECONDS"
        return (
            "its event loop stood still for too long, as under heavy load, and its watchdog ended "
            f"it. Start it again when less runs here, or set {setting}=60"
        )

    def _hear(self, line: str) -> None:
        self._last_line = line
        self._was_blocked |= line.startswith(WATCHDOG)
        self._say(line)

    def _say(self, line: str) -> None:
        with suppress(OSError):  # whoever reads what we print may be gone
            self._on_line(self.name, line)

    async def _keep_running(self) -> None:
        ready = True
        while True:
            if not ready:
                self._kill()
            status = await self._process.wait() if self._process else None
            lived = asyncio.get_running_loop().time() - self._started_at
            await self._kill_what_it_started()
            pause = self._crashes.pause_after(lived if ready else 0.0)
            if pause is None:
                raise UnavailableError(
                    f"{self.name} ended {self._crashes.short_lives} times in a row within"
                    f" {STEADY_SECONDS:g} s of its start, and is not started again;"
                    f" its last line of output: {self._last_line or 'none'}"
                )
            self._say(f"ended with status {status}; starting it again")
            await asyncio.sleep(pause)
            self.restarts += 1
            ready = await self._launch()
            if ready and self._on_restart is not None:
                self._on_restart()

    def restart(self, *, within_seconds: float = STOP_SECONDS) -> None:
        """End the process that runs now, by force if it takes longer; it is started again."""
        process = self._process
        if process is None or not self.is_running:
            return
        process.send_signal(signal.SIGTERM)

        def kill() -> None:
            if process is self._process and self.is_running:
                self.kill(f"did not end within {within_seconds:g} s")

        asyncio.get_running_loop().call_later(within_seconds, kill)

    def kill(self, why: str) -> None:
        """End the process that runs now at once, also a hung one; it is started again."""
        if self.is_running:
            self._say(f"{why}; killed")
            self._kill()

    def _kill(self) -> None:
        """SIGKILL to its process group, which has its number while it was not waited for."""
        if self.is_running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _kill_what_it_started(self) -> None:
        await asyncio.to_thread(kill_descendants, self._mark)

    async def stop(
        self,
        *,
        within_seconds: float | None = None,
        by: signal.Signals = signal.SIGTERM,
    ) -> None:
        """SIGTERM, or `by`; then SIGKILL when it takes longer. Nothing of it is left running.

        Args:
            within_seconds: instead of its `stop_seconds`.
        """
        patience = self._stop_seconds if within_seconds is None else within_seconds
        if self._watcher is not None:
            # First of all: it might be about to start another one.
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        if self._process is not None and self.is_running:
            self._process.send_signal(by)
            try:
                await asyncio.wait_for(self._process.wait(), patience)
            except TimeoutError:
                self._say(f"did not stop within {patience:g} s; killed")
                self._kill()
                await self._process.wait()
        if self._process is not None:
            await self._kill_what_it_started()
            # What it said last is read to its end, now that nobody can say more.
            await asyncio.wait(self._readers, timeout=1) if self._readers else None
        self._let_go()

    def _let_go(self) -> None:
        """Of pipes and readers of a process that has ended."""
        for reader in self._readers:
            reader.cancel()
        self._readers = []
        if self._process is not None and not self.is_running:
            self._process.close()


def python_module(module: str) -> list[str]:
    """The command that runs one of our modules with this interpreter."""
    return [sys.executable, "-m", module]
