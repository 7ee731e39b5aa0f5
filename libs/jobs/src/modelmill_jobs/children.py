"""The parent's side of a child process: start it, hear it, end it with all that it started."""

import asyncio
import json
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from modelmill_service_kit.endings import to_its_end
from modelmill_service_kit.errors import DiskFullError

from modelmill_jobs.child import DISK_FULL
from modelmill_jobs.errors import ChildDied

log = logging.getLogger(__name__)

LINE_BYTES = 16 * 1024 * 1024
TAIL_BYTES = 8192
TAIL_LINES = 40
SECRET = re.compile("SECRET|TOKEN|PASSWORD|CREDENTIAL|PRIVATE_KEY|^AWS_")
"""Variables with such a name stay with the parent, who alone talks to the artifact store."""
EXIT_SECONDS = 15.0
"""How long a child that has delivered may take to end."""


class ChildProcess:
    """A process group of its own: a terminal's Ctrl-C reaches only the parent, which decides."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reports: asyncio.StreamReader,
        pipe: asyncio.BaseTransport,
        log_file: Path,
    ) -> None:
        self._process = process
        self._reports = reports
        self._pipe = pipe
        self._group_ended = False
        self._log_file = log_file
        self.told_to_stop = False
        self._reaper = asyncio.create_task(self._reap())

    @classmethod
    async def start(
        cls,
        module: str,
        request: Mapping[str, Any],
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
    ) -> "ChildProcess":
        """Run `python -m module` and hand it the request."""
        read_fd, write_fd = os.pipe()
        log_file = folder / "child.log"
        try:
            # Before there is a process: between it and its owner nothing is awaited.
            reports, pipe = await _reader(read_fd)
            try:
                with log_file.open("ab") as output:
                    process = await asyncio.create_subprocess_exec(
                        # A crash in native code leaves its stack in the log.
                        *(sys.executable, "-Xfaulthandler", "-m", module),
                        stdin=asyncio.subprocess.PIPE,
                        stdout=output,
                        stderr=output,
                        pass_fds=(write_fd,),
                        start_new_session=True,
                        env={**environment_for_children(), **(env or {})},
                    )
            except BaseException:
                pipe.close()
                raise
        finally:
            os.close(write_fd)
        child = cls(process, reports, pipe, log_file)
        try:
            first = {"report_fd": write_fd, "folder": str(folder), "request": dict(request)}
            await child.send(first)
        except BaseException:
            await child.close()
            raise
        return child

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """What the child says, until it and all that it started are gone."""
        while line := await self._reports.readline():
            if not line.endswith(b"\n"):
                return  # it died in the middle of a word
            yield json.loads(line)

    async def send(self, message: Mapping[str, Any]) -> None:
        """Tell the child something; a child that is gone hears nothing."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            return
        try:
            stdin.write(json.dumps(message).encode() + b"\n")
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            log.info("child %d is gone and was not told", self._process.pid)

    @property
    def has_ended(self) -> bool:
        """Whether it is known to be gone; what it said before may still be heard."""
        return self._process.returncode is not None

    def terminate(self) -> None:
        """Ask it to save and stop. Only itself: what it started is its own to stop."""
        self.told_to_stop = True
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything of its group, now."""
        if self._group_ended:
            return  # its number may be somebody else's by now
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            log.debug("child %d left nothing behind", self._process.pid)

    async def wait(self) -> int:
        """Exit status, negative for a signal; kills it when it does not end by itself."""
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            self.kill()
            return await self._process.wait()

    async def close(self) -> None:
        """Whatever happened, nothing of it is left running."""
        await to_its_end(self._close())

    async def _close(self) -> None:
        self.kill()
        await self._process.wait()
        await self._reaper
        self._pipe.close()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def log_tail(self) -> str:
        """The last lines that it and its libraries printed."""
        with self._log_file.open("rb") as stream:
            stream.seek(max(0, self._log_file.stat().st_size - TAIL_BYTES))
            text = stream.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    async def _reap(self) -> None:
        """Once the child is gone, so is its group; else the pipe might stay open for ever."""
        await self._process.wait()
        self.kill()
        self._group_ended = True


def environment_for_children() -> dict[str, str]:
    """This process's environment without what opens doors: a child talks to nobody but us."""
    return {name: value for name, value in os.environ.items() if not SECRET.search(name)}


async def _reader(fd: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb")
    )
    return reader, transport


def why_it_died(status: int, folder: Path, log_tail: str) -> Exception:
    """What became of a child that ended with this exit status and nobody told it to.

    Args:
        folder: in which it worked.
    """
    if status == DISK_FULL:
        return DiskFullError(f"disk full on {folder} of the worker. Free space and repeat")
    return ChildDied("CHILD_DIED", _say_status(status), log_tail)


def _say_status(status: int) -> str:
    if status == -9:
        return "the work process was killed (signal 9); it may have run out of memory"
    if status < 0:
        return f"the work process crashed (signal {-status})"
    return f"the work process ended with status {status} and no result"
