"""A Python module in a process of its own, spoken to in JSON lines over a socket pair.

The child's stdout and stderr stay free for what native libraries print. A child whose parent is
gone reads the end of the stream and leaves.
"""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from modelmill_jobs.children import environment_for_children
from modelmill_service_kit.endings import end_of, kill, to_its_end
from modelmill_service_kit.errors import UnavailableError

MAX_LINE_BYTES = 4 * 1024 * 1024
CLOSE_SECONDS = 5.0
STDERR = 2


class ChildProcess:
    """One running child; not restarted, not used again once it is closed."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, module: str) -> "ChildProcess":
        """Run `python -m module <fd of its socket>`."""
        ours, theirs = socket.socketpair()
        try:
            process = _spawn(module, theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        try:
            reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
        except BaseException:
            # Cancelled, as a rule: nobody else knows of the process yet.
            ours.close()
            await kill(process)
            raise
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue a message; one to a child that is gone is dropped (`receive` tells of its end)."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        """The child's next message.

        Raises:
            UnavailableError: the child is gone, or what it sent is no message.
        """
        try:
            line = await self._reader.readline()
            message = json.loads(line)
        except (OSError, ValueError) as error:
            raise UnavailableError("the engine process ended or sent no message") from error
        if not isinstance(message, dict):
            raise UnavailableError("the engine process sent no message")
        return message

    async def close(self) -> int:
        """Hang up, give it a moment to leave, kill it if it does not; its exit status."""
        return await to_its_end(self._close())

    async def _close(self) -> int:
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                return await end_of(self._process)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it at once; its exit status."""
        self._writer.close()
        return await kill(self._process)


def _spawn(module: str, theirs: socket.socket) -> subprocess.Popen[bytes]:
    # Not by the event loop: uvloop forks, and gRPC's handlers of a fork now and then crash the
    # child before it becomes Python. `subprocess` starts it without a copy (vfork), in a moment.
    return subprocess.Popen(
        [sys.executable, "-m", module, str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        # Our stdout has a reader who expects one line; a library's chatter is a log.
        stdout=STDERR,
        pass_fds=(theirs.fileno(),),
        env=environment_for_children(),
    )
