"""Prometheus metrics that every service has, and the page that shows them to who may see them."""

import hmac
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import REGISTRY, Histogram, make_wsgi_app
from prometheus_client.registry import Collector

SECONDS_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
"""From the fastest verdict to the longest upload; see each histogram's own unit."""
READ_SECONDS = 5.0
"""Readers come one at a time, so one that says nothing is sent away."""
STOP_LOOK_SECONDS = 0.05
"""Between two looks whether to stop, for which the end of the process waits."""

RPC_SECONDS = Histogram(
    "modelmill_rpc_server_seconds",
    "Seconds a gRPC call took, streams until their end, by method and status.",
    ["method", "code"],
    buckets=SECONDS_BUCKETS,
)


class _QuietHandler(WSGIRequestHandler):
    timeout = READ_SECONDS

    def handle(self) -> None:
        """Answer one request; a reader that is too slow or gone is no error of ours."""
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes come every few seconds and say nothing worth a line."""


class MetricsPage:
    """/metrics on its own port, for holders of the secret; serves until the block ends.

    Args:
        shown: what is on it.
    """

    def __init__(self, address: str, secret: str, shown: Collector = REGISTRY) -> None:
        host, _, port = address.rpartition(":")
        self._expected = f"Bearer {secret}".encode()
        self._app = make_wsgi_app(shown)
        self._server = make_server(host, int(port), self._answer, handler_class=_QuietHandler)
        self.port: int = self._server.server_port

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "").encode()
        if not hmac.compare_digest(given, self._expected):
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b"the service secret is missing or wrong\n"]
        return self._app(environ, start_response)  # type: ignore[no-any-return]

    def __enter__(self) -> "MetricsPage":
        threading.Thread(
            target=self._server.serve_forever,
            args=(STOP_LOOK_SECONDS,),
            daemon=True,
            name="metrics",
        ).start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
