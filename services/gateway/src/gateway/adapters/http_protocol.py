"""uvicorn's protocol with limits: on heads, on how long a client may take, on how many come.

Nothing here runs for each piece of an answer: one sweep a second, at most four, looks at all
connections, and each request leaves two numbers for it.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.adapters.tick_writer import TickWriter
from gateway.measures import SLOW_CLIENTS

MAX_HEAD_BYTES = 32 * 1024
"""Request line and headers together; a token takes at most a quarter of it."""
HARD_LIMIT = 2
"""Times the limit of connections, beyond which one is closed without a word."""
FULL_RETRY_SECONDS = 2
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True)
class ClientLimits:
    """How long a client may take.

    Args:
        head_seconds: for a whole head, from the connection or from its first byte.
        stall_seconds: a body that comes, or an answer that is taken, at less than the rate for so
            long is cut.
        bytes_per_second: that rate.
        connections: at a time, in this process; 0 sets no limit.
    """

    head_seconds: float = 10.0
    stall_seconds: float = 30.0
    bytes_per_second: int = 256
    connections: int = 0

    @property
    def sweep_seconds(self) -> float:
        """How often to look: fine enough for the shortest of them."""
        return min(1.0, max(0.02, min(self.head_seconds, self.stall_seconds) / 4))


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's fast parser has no limit on headers of its own, complete or still coming."""

    _in_head = True
    _received = 0
    """Bytes that came since the last request was complete."""
    _parsed = 0
    """Bytes of the head that the parser has handed out."""
    _head_since = 0.0
    """When the connection stood, or the first byte of the head came."""
    _window: tuple[str, float, int] = ("", 0.0, 0)
    """What is looked at, since when, and how many bytes there were then."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._head_since = self.loop.time()
        # uvicorn's own refusal has no Retry-After, and counts requests of other connections.
        limit, self.limit_concurrency = self.limit_concurrency, None
        super().connection_made(TickWriter(transport, self.loop))
        if limit and len(self.connections) > limit:
            SLOW_CLIENTS.labels("full").inc()
            self.app = _refuse_full
            if len(self.connections) > HARD_LIMIT * limit:
                transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._in_head and not self._received and self.cycle is not None:
            self._head_since = self.loop.time()
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

    def look(self, limits: ClientLimits, now: float) -> None:
        """Cut the connection if its client is too slow."""
        if self.flow.write_paused:
            left = self.transport.get_write_buffer_size()
            if self._moved_too_little("answer", -left, limits, now):
                SLOW_CLIENTS.labels("answer").inc()
                # What the client does not take would keep a polite end waiting for ever.
                self.transport.abort()
        elif self._in_head:
            self._window = ("", now, 0)
            # Between two requests uvicorn has a timer of its own.
            is_idle = self.cycle is None or self.cycle.response_complete
            is_waiting = is_idle and (self.cycle is None or self._received > 0)
            if is_waiting and now - self._head_since > limits.head_seconds:
                self._give_up("head")
        elif self.flow.read_paused:
            self._window = ("", now, 0)  # it is we who do not read
        elif self._moved_too_little("body", self._received, limits, now):
            self._give_up("body")

    def _moved_too_little(self, what: str, count: int, limits: ClientLimits, now: float) -> bool:
        watched, since, before = self._window
        if watched != what:
            self._window = (what, now, count)
            return False
        if now - since < limits.stall_seconds:
            return False
        self._window = (what, now, count)
        return count - before < limits.bytes_per_second * (now - since)

    def _give_up(self, what: str) -> None:
        SLOW_CLIENTS.labels(what).inc()
        if self._in_head or not self.cycle.response_started:
            self.transport.write(TOO_SLOW)
        self.transport.close()

    def _count(self, part: bytes) -> None:
        self._parsed += len(part)
        if self._parsed > MAX_HEAD_BYTES:
            # The parser turns it into its own error, and uvicorn that into a 400.
            raise ValueError("the head of the request is too large")


async def sweep(connections: Iterable[Any], limits: ClientLimits) -> None:
    """Look at all connections again and again, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(limits.sweep_seconds)
        now = loop.time()
        for connection in tuple(connections):
            if not connection.transport.is_closing():
                connection.look(limits, now)


async def _refuse_full(_scope: Any, _receive: Any, send: Any) -> None:
    error = {
        "message": "too many connections",
        "type": "server_error",
        "param": None,
        "code": "unavailable",
        "request_id": None,
    }
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(FULL_RETRY_SECONDS).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
