"""The parent's side of a child process: a Python module in a process group of its own.

Both sides speak JSON lines: the child hears by its stdin, whose end tells it that its parent is
gone, and speaks by a pipe whose descriptor is `sys.argv[1]`. Its stdout and stderr are a log, for
what libraries print.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

from modelmill_service_kit.endings import to_its_end
from modelmill_service_kit.errors import UnavailableError

LINE_BYTES = 16 * 1024 * 1024
TAIL_BYTES = 8192
TAIL_LINES = 40
STDERR = 2
SECRET = re.compile("SECRET|TOKEN|PASSWORD|CREDENTIAL|PRIVATE_KEY|_KEY$|^AWS_")
"""Variables with such a name stay with the parent, who alone talks to others."""
EXIT_SECONDS = 15.0
"""How long a child that has delivered may take to end."""
GRACE_SECONDS = 5.0
"""For children that end what they started when their parent hangs up."""


class ChildProcess:
    """One running child; not restarted, not used again once it is closed.

    A terminal's Ctrl-C reaches only the parent, which decides. What the child started is killed as
    soon as it has ended itself.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        orders: asyncio.WriteTransport,
        reports: asyncio.StreamReader,
        reading: asyncio.ReadTransport,
        log_file: Path | None,
    ) -> None:
        self._process = process
        self._orders = orders
        self._reports = reports
        self._reading = reading
        self._log_file = log_file
        self.told_to_stop = False
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        """Its exit status."""
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self._reap)

    @classmethod
    async def start(
        cls, module: str, *, log_file: Path | None = None, env: Mapping[str, str] | None = None
    ) -> "ChildProcess":
        """Run `python -m module <descriptor>`.

        Args:
            log_file: takes what it prints; without one it goes to this process's stderr.
            env: added to this process's environment, of which secrets are left out.
        """
        starting = asyncio.ensure_future(cls._start(module, log_file, env or {}))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Not by cancelling it: uvloop then closes a pipe twice, the second time another's.
            await to_its_end(_end(starting))
            raise

    @classmethod
    async def _start(
        cls, module: str, log_file: Path | None, env: Mapping[str, str]
    ) -> "ChildProcess":
        loop, reports = asyncio.get_running_loop(), asyncio.StreamReader(limit=LINE_BYTES)
        with ExitStack() as theirs, ExitStack() as ours:
            stdin, orders_fd = os.pipe()
            theirs.callback(os.close, stdin)
            orders, _ = await loop.connect_write_pipe(
                asyncio.BaseProtocol, os.fdopen(orders_fd, "wb", 0)
            )
            ours.callback(orders.close)
            reports_fd, report_fd = os.pipe()
            theirs.callback(os.close, report_fd)
            reading, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reports), os.fdopen(reports_fd, "rb", 0)
            )
            ours.callback(reading.close)
            output = STDERR if log_file is None else theirs.enter_context(log_file.open("ab"))
            process = _spawn(module, stdin, report_fd, output, env)
            ours.callback(process.wait)
            ours.callback(process.kill)
            child = cls(process, orders, reports, reading, log_file)
            ours.pop_all()
        return child

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it is known to be gone; what it said before may still be heard."""
        return self._ended.done()

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue a message; a child that is gone hears nothing."""
        if not self._orders.is_closing():
            self._orders.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """What the child says, until it and all that it started are gone."""
        while (message := await self._message()) is not None:
            yield message

    async def receive(self) -> dict[str, Any]:
        """The child's next message.

        Raises:
            UnavailableError: the child is gone, or what it sent is no message.
        """
        try:
            message = await self._message()
        except (OSError, ValueError) as error:
            raise UnavailableError("the child process sent no message") from error
        if message is None:
            raise UnavailableError("the child process ended")
        return message

    async def _message(self) -> dict[str, Any] | None:
        line = await self._reports.readline()
        if not line.endswith(b"\n"):
            return None  # it may have died in the middle of a word
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("a message is an object of JSON")
        return message

    def terminate(self) -> None:
        """Ask it to save and stop. Only itself: what it started is its own to stop."""
        self.told_to_stop = True
        if not self._ended.done():
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything of its group, now."""
        if not self._ended.done():
            # Until it is waited for, its number is nobody else's.
            os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Exit status, negative for a signal; kills it when it does not end by itself."""
        return await self._end_within(EXIT_SECONDS)

    async def close(self, grace_seconds: float = 0.0) -> int:
        """Hang up, and leave nothing of it running; its exit status.

        Args:
            grace_seconds: how long it may take to leave by itself.
        """
        return await to_its_end(self._close(grace_seconds))

    async def _close(self, grace_seconds: float) -> int:
        self._orders.close()
        status = await self._end_within(grace_seconds)
        self._reading.close()
        return status

    async def _end_within(self, seconds: float) -> int:
        await asyncio.wait([self._ended], timeout=seconds)
        self.kill()
        return await asyncio.shield(self._ended)

    def log_tail(self) -> str:
        """The last lines that it and its libraries printed to its log file."""
        if self._log_file is None:
            return ""
        with self._log_file.open("rb") as stream:
            stream.seek(max(0, self._log_file.stat().st_size - TAIL_BYTES))
            text = stream.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def _reap(self) -> None:
        """Once the child is gone, so is its group; else the pipe might stay open for ever."""
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.kill()
        self._ended.set_result(self._process.wait())


async def _end(starting: Awaitable[ChildProcess]) -> None:
    with suppress(Exception):  # who is cancelled does not ask
        await (await starting).close()


def _spawn(
    module: str, stdin: int, report_fd: int, output: int | BinaryIO, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    # Not by the event loop: uvloop forks, and gRPC's handlers of a fork now and then crash the
    # child before it becomes Python. `subprocess` starts it without a copy (vfork), in a moment.
    return subprocess.Popen(
        # A crash in native code leaves its stack in the log.
        [sys.executable, "-Xfaulthandler", "-m", module, str(report_fd)],
        stdin=stdin,
        stdout=output,
        stderr=output,
        pass_fds=(report_fd,),
        # No session: the kernel shares cores between sessions, and `nice` counts within one.
        process_group=0,
        env={**environment_for_children(), **env},
    )


def environment_for_children() -> dict[str, str]:
    """This process's environment without credentials: a child talks only to its parent."""
    return {name: value for name, value in os.environ.items() if not SECRET.search(name)}
