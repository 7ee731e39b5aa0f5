"""Keeps child processes running: starts them, reads their READY line, restarts, stops them."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service_kit.errors import UnavailableError
from service_kit.process import STOP_ON_EOF

LogLine = Callable[[str, str], None]
"""Called with the process's name and one line of its output."""
START_SECONDS = 60.0
LONGEST_BACKOFF_SECONDS = 10.0


class SupervisedProcess:
    """One process that is started again when it dies, until `stop`.

    Args:
        name: shown before its log lines.
        argv: the command; `sys.executable` stands first for our own services.
        environment: its whole environment beyond the inherited one.
        on_line: receives every line of output but READY.
    """

    def __init__(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], on_line: LogLine
    ) -> None:
        self.name = name
        self.environment = dict(environment)
        self.ports: dict[str, int] = {}
        self.restarts = 0
        self._argv = argv
        self._on_line = on_line
        self._process: Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._last_line = ""

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start it and wait for its READY line.

        Raises:
            UnavailableError: it ended, or said nothing for a minute; the message has its last line.
        """
        ready = await self._launch()
        if not ready:
            raise UnavailableError(f"{self.name} did not start: {self._last_line or 'no output'}")
        self._watcher = asyncio.create_task(self._keep_running(), name=f"watch {self.name}")

    async def _launch(self) -> bool:
        starting = asyncio.ensure_future(self._spawn())
        try:
            self._process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Half a start would leave a process that nobody knows of; `stop` ends this one.
            self._process = await starting
            raise
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers = []
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            self._readers.append(asyncio.create_task(self._read(stream, ready)))
        ended = asyncio.create_task(self._process.wait())
        either: list[asyncio.Future[Any]] = [ready, ended]
        await asyncio.wait(either, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            # What it said last may still be on its way to us.
            await asyncio.wait(self._readers, timeout=1)
        return ready.done()

    async def _spawn(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=PIPE,  # held open: its end tells the child that we are gone
            stdout=PIPE,
            stderr=PIPE,
            env=os.environ | self.environment | {STOP_ON_EOF: "1"},
            # Ctrl-C reaches the whole foreground group; children must wait for our SIGTERM instead.
            start_new_session=True,
            limit=2**20,
        )

    async def _read(self, stream: asyncio.StreamReader, ready: "asyncio.Future[None]") -> None:
        async for raw in stream:
            line = raw.decode(errors="replace").rstrip()
            if line.startswith("READY"):
                pairs = (word.split("=") for word in line.split()[1:])
                self.ports = {name: int(port) for name, port in pairs}
                if not ready.done():
                    ready.set_result(None)
            elif line:
                self._last_line = line
                self._on_line(self.name, line)

    async def _keep_running(self) -> None:
        backoff = 0.5
        while not self._stopping:
            assert self._process is not None
            status = await self._process.wait()
            if self._stopping:
                return
            self._on_line(self.name, f"ended with status {status}; starting it again")
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            self.restarts += 1
            if await self._launch():
                backoff = 0.5

    def restart(self) -> None:
        """End the process that runs now; it is started again like one that died."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    async def stop(self, *, within_seconds: float = 20.0) -> None:
        """SIGTERM, then SIGKILL to its process group when it takes longer."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), within_seconds)
            except TimeoutError:
                self._on_line(self.name, f"did not stop within {within_seconds:g} s; killed")
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)


def python_module(module: str) -> list[str]:
    """The command that runs one of our modules with this interpreter."""
    return [sys.executable, "-m", module]
