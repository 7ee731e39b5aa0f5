"""uvicorn inside our own event loop: our signals, our drain, and a limit on headers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

App = Callable[[Any, Any, Any], Awaitable[None]]

MAX_HEAD_BYTES = 32 * 1024
"""Request line and headers together; a token takes at most a quarter of it."""


class _BoundedHeads(HttpToolsProtocol):
    """uvicorn's fast parser has no limit on headers of its own."""

    _head_bytes = 0

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name + value)
        super().on_header(name, value)

    def _count(self, part: bytes) -> None:
        self._head_bytes += len(part)
        if self._head_bytes > MAX_HEAD_BYTES:
            # The parser turns it into its own error, and uvicorn that into a 400.
            raise ValueError("the head of the request is too large")


class _QuietServer(Server):
    """Signals are the process's business, not the server's."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_http(app: App, address: str, *, drain_seconds: float) -> AsyncIterator[int]:
    """Serve `app` at `address` until the block ends; gives the port.

    At the end no connection is taken any more, and answers in hand may go on for `drain_seconds`.

    Raises:
        OSError: the port is taken.
    """
    host, _, port = address.rpartition(":")
    listener = _listen(host.strip("[]"), int(port))
    config = Config(
        app,
        http=_BoundedHeads,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
    )
    server = _QuietServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    listening = asyncio.create_task(server.listening.wait())
    await asyncio.wait((serving, listening), return_when=asyncio.FIRST_COMPLETED)
    listening.cancel()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener
