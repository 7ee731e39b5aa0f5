"""A child process whose end is its own end, and not that of whoever it has started."""

import asyncio
from asyncio.subprocess import Process, SubprocessStreamProtocol
from typing import Any, cast

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
