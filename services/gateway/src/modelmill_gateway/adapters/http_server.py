"""uvicorn inside our own event loop: our signals, our drain, our limits on clients."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from modelmill_service_kit.process import Ending
from starlette.types import ASGIApp
from uvicorn import Config, Server

from modelmill_gateway.adapters.http_protocol import ClientLimits, LimitedProtocol, sweep

CLOSE = (b"connection", b"close")


class _QuietServer(Server):
    """Signals are the process's business, not the server's."""

    def __init__(self, config: Config, drain_seconds: float) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.ending: Ending | None = None
        self._drain_seconds = drain_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but until a deadline that may be brought forward meanwhile."""
        ending = self.ending or Ending(0, self._drain_seconds)
        draining = asyncio.create_task(super().shutdown(sockets))
        if not await ending.wait_for(draining):
            for task in self.server_state.tasks:
                task.cancel()
            draining.cancel()
            await asyncio.wait({draining})
            return
        await draining

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Running HTTP server."""

    def __init__(self, port: int, server: _QuietServer) -> None:
        self.port = port
        self._server = server

    def send_away(self, ending: Ending) -> None:
        """From now on every answer tells its client that the connection ends with it.

        Args:
            ending: until when answers in hand may go on.
        """
        self._server.ending = ending
        self._server.config.encoded_headers.append(CLOSE)
        # Requests in hand have taken this very list; the server makes itself another each second.
        self._server.server_state.default_headers.append(CLOSE)


@asynccontextmanager
async def serve_http(
    app: ASGIApp,
    address: str,
    *,
    drain_seconds: float,
    tls: ssl.SSLContext | None = None,
    limits: ClientLimits | None = None,
    shares_port: bool = False,
) -> AsyncIterator[HttpServer]:
    """Serve `app` at `address` until the block ends, plainly without `tls`.

    At the end no connection is taken any more, and answers in hand may go on for `drain_seconds`,
    or as `HttpServer.send_away` was told.

    Args:
        shares_port: other processes listen there, too, and the kernel deals out connections.

    Raises:
        OSError: the port is taken.
    """
    host, _, port = address.rpartition(":")
    limits = limits or ClientLimits()
    listener = _listen(host.strip("[]"), int(port), shares_port=shares_port)
    server = _QuietServer(_config(app, tls, limits), drain_seconds)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    listening = asyncio.create_task(server.listening.wait())
    await asyncio.wait((serving, listening), return_when=asyncio.FIRST_COMPLETED)
    listening.cancel()
    sweeping = asyncio.create_task(sweep(server.server_state.connections, limits), name="sweep")
    try:
        yield HttpServer(listener.getsockname()[1], server)
    finally:
        server.should_exit = True
        await serving
        sweeping.cancel()


def _config(app: ASGIApp, tls: ssl.SSLContext | None, limits: ClientLimits) -> Config:
    return Config(
        app,
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # A number of any kind does; uvicorn's own command line takes whole ones.
        timeout_keep_alive=limits.idle_seconds,  # type: ignore[arg-type]
        limit_concurrency=limits.connections or None,
        ssl_context_factory=None if tls is None else lambda *_: tls,
    )


def _listen(host: str, port: int, *, shares_port: bool) -> socket.socket:
    try:
        listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=1024,
            reuse_port=shares_port,
        )
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    # asyncio sets it only on sockets whose protocol says TCP; connections inherit it from here.
    # Without it every answer waits for the client's acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)
    return listener
