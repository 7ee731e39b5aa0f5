"""uvicorn inside our own event loop: our signals, our drain, and a limit on headers."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

App = Callable[[Any, Any, Any], Awaitable[None]]

MAX_HEAD_BYTES = 32 * 1024
"""Request line and headers together; a token takes at most a quarter of it."""


class _BoundedHeads(HttpToolsProtocol):
    """uvicorn's fast parser has no limit on headers of its own, complete or still coming."""

    _in_head = True
    _received = 0
    """Bytes that came since the last request was complete."""
    _parsed = 0
    """Bytes of the head that the parser has handed out."""

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        if self._in_head and self._received > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("the head of the request is too large")

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name + value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._received, self._parsed = True, 0, 0
        super().on_message_complete()

    def _count(self, part: bytes) -> None:
        self._parsed += len(part)
        if self._parsed > MAX_HEAD_BYTES:
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
async def serve_http(
    app: App, address: str, *, drain_seconds: float, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve `app` at `address` until the block ends, plainly without `tls`; gives the port.

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
        ssl_context_factory=None if tls is None else lambda *_: tls,
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
    # asyncio sets it only on sockets whose protocol says TCP; connections inherit it from here.
    # Without it every answer waits for the client's acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)
    return listener
