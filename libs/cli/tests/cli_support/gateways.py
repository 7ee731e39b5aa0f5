"""HTTP servers that stand in for a gateway, and a terminal that is told of them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any, TypeVar

import pytest

ServerT = TypeVar("ServerT", bound=HTTPServer)


class Handler(BaseHTTPRequestHandler):
    """Answers, and says nothing on the terminal."""

    def answer(self, body: bytes, status: int = 200) -> None:
        """The whole answer."""
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        """All requests of a connection; a client that left early is no news either."""
        with suppress(ConnectionError):
            super().handle()

    def finish(self) -> None:
        """Close the connection, whoever closed it first."""
        with suppress(ConnectionError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class ModelsGateway(ThreadingHTTPServer):
    """Answers with what it has of models."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ModelsHandler)
        self.models: dict[str, dict[str, Any]] = {}


class _ModelsHandler(Handler):
    server: ModelsGateway

    def do_GET(self) -> None:
        self.answer(json.dumps(self.server.models[self.path.rpartition("/")[2]]).encode())


@contextmanager
def told_of(
    server: ServerT, monkeypatch: pytest.MonkeyPatch, *, columns: int = 160
) -> Iterator[ServerT]:
    """Serve, with the environment of a terminal of so many columns that asks this server."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("MODELMILL_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("MODELMILL_TOKEN", "token")
        monkeypatch.setenv("COLUMNS", str(columns))
        yield server
        server.shutdown()
