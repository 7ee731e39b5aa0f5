"""One bounded process, as an event loop speaks to it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, cast

from modelmill_service_kit.endings import kill

from modelmill_tokenization.bounded.frames import HEAD, frame
from modelmill_tokenization.bounded.limits import MAX_ANSWER_BYTES
from modelmill_tokenization.bounded.spawn import cpu_seconds_of, limit_of_death, spawn

OWN_SHARE = 0.5
"""A request that ran out of time with less of its CPU time used had too little of the machine."""
LOWER = 10
"""By how much a request that takes long has to stand back, as `nice` counts: a tenth of a core is
left to it beside others that want it whole."""
LOWEST = 19


class Reply(NamedTuple):
    """What a process answered."""

    said: Mapping[str, Any]
    body: bytes


class ProcessLostError(Exception):
    """The process ended under a request.

    Args:
        what: the limit that was passed, for `errors.limit_error`; empty: it was not at fault.
        cpu_seconds: what the request took.
        killed: somebody else ended it: an operator, or the kernel for want of memory.
    """

    def __init__(self, what: str, cpu_seconds: float, *, killed: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.cpu_seconds = cpu_seconds
        self.killed = killed


class BoundedProcess(asyncio.Protocol):
    """Not restarted, and asked for one thing at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._transport: asyncio.Transport | None = None
        self._got = bytearray()
        self._needed = HEAD.size
        loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[Reply] = loop.create_future()
        """The answer that is awaited; the first is the greeting."""
        self._slow: asyncio.TimerHandle | None = None
        self.open: frozenset[str] = frozenset()
        """Folders whose tokenizers it has loaded."""
        self.gone = asyncio.Event()
        """Set once it ended, for whatever reason."""
        self._thread = 0
        """In which it answers the next request."""
        self._cpu_seconds = 0.0
        """What it had taken after its last answer."""

    @classmethod
    async def start(cls, seconds: float) -> "BoundedProcess":
        """Start one and wait for its greeting.

        Raises:
            ProcessLostError: it did not come in time.
        """
        ours, theirs = socket.socketpair()
        try:
            process = spawn(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            _, child = await loop.create_connection(lambda: cls(process), sock=ours)
        except BaseException:
            ours.close()
            await kill(process)
            raise
        await child._answered(seconds, cpu_seconds=seconds)
        return child

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def ask(self, head: Mapping[str, Any], seconds: float, prompt_seconds: float) -> Reply:
        """Its answer.

        Args:
            prompt_seconds: after them it stands back: its thread runs at a lower priority.

        Raises:
            ProcessLostError: it passed a limit, and is gone.
        """
        assert self._transport is not None
        self._reply = asyncio.get_running_loop().create_future()
        if self.gone.is_set():
            self._fail()
        else:
            self._transport.write(frame(head))
        self._look_at_time(prompt_seconds)
        try:
            reply = await self._answered(seconds, head["cpu_seconds"])
        finally:
            if self._slow is not None:
                self._slow.cancel()
        self.open = frozenset(reply.said["open"])
        return reply

    async def _answered(self, seconds: float, cpu_seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                reply = await self._reply
                self._cpu_seconds, self._thread = reply.said["cpu_total"], reply.said["thread"]
                return reply
        except TimeoutError:
            used = cpu_seconds_of(self.pid) - self._cpu_seconds
            await self.kill()
            starved = used < OWN_SHARE * cpu_seconds
            what = "" if starved else f"took more than {seconds:g} s"
            raise ProcessLostError(what, used) from None
        except ConnectionError:
            status = await self.kill()
            # CPU time is exact where the kernel stopped it; of a crash it is the most it can be.
            what, killed = limit_of_death(status, cpu_seconds), status == -signal.SIGKILL
            raise ProcessLostError(what, cpu_seconds, killed=killed) from None
        except BaseException:
            # Whoever asked has gone; nobody may find half an answer here.
            await self.kill()
            raise

    def _look_at_time(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._slow = loop.call_later(seconds, self._stand_back, seconds)

    def _stand_back(self, seconds: float) -> None:
        if cpu_seconds_of(self.pid) - self._cpu_seconds < seconds * OWN_SHARE:
            self._look_at_time(seconds)  # it waits for a core itself
            return
        low = min(LOWEST, os.getpriority(os.PRIO_PROCESS, 0) + LOWER)
        with suppress(OSError):  # it may have ended meanwhile
            os.setpriority(os.PRIO_PROCESS, self._thread, low)

    async def kill(self) -> int:
        """End it at once; its exit status."""
        if self._transport is not None:
            self._transport.abort()
        return await kill(self._process)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not by `isinstance`: uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if len(self._got) < self._needed:
            return
        length, body = HEAD.unpack_from(self._got)
        self._needed = HEAD.size + length + body
        if length + body > 2 * MAX_ANSWER_BYTES:
            self._fail()
        elif len(self._got) >= self._needed:
            whole = bytes(self._got)
            self._got.clear()
            self._needed = HEAD.size
            said = json.loads(whole[HEAD.size : HEAD.size + length])
            if not self._reply.done():
                self._reply.set_result(Reply(said, whole[HEAD.size + length :]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._fail()

    def _fail(self) -> None:
        if not self._reply.done():
            self._reply.set_exception(ConnectionError("the process ended"))
            # Nobody may be waiting between two requests.
            self._reply.exception()
