"""uvicorn's protocol with limits: on heads, on framing, on how long a client may take.

Nothing here runs for each piece of an answer: one sweep a second, at most four, looks at all
connections, and each request leaves a few numbers for it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from modelmill_gateway.adapters.lingering_writer import (
    LINGER_BYTES,
    LINGER_SECONDS,
    QUIET_SECONDS,
    LingeringWriter,
)
from modelmill_gateway.adapters.message_bounds import (
    FRAMING,
    MessageBounds,
    WireError,
    refuse_full,
    whole_refusal,
)
from modelmill_gateway.metrics import SLOW_CLIENTS

FEED_BYTES = 16 * 1024
"""That are parsed before the bounds are looked at."""
MAX_PIPELINED = 100
"""Requests that wait behind one that is being answered; what is sent beyond them is dropped."""
KEEP_BYTES = 256 * 1024
"""A larger body that nobody reads is not waited for: the answer is the connection's last."""
HARD_LIMIT = 2
"""Times the limit of connections, beyond which one is closed without a word."""


@dataclass(frozen=True)
class ClientLimits:
    """How long a client may take.

    Args:
        head_seconds: for a whole head, from the connection or from its first byte.
        stall_seconds: a body that comes, or an answer that is taken, at less than the rate for so
            long is cut.
        bytes_per_second: that rate.
        idle_seconds: a connection may rest so long between two requests.
        connections: at a time, in this process; 0 sets no limit.
    """

    head_seconds: float = 10.0
    stall_seconds: float = 30.0
    bytes_per_second: int = 256
    idle_seconds: float = 5.0
    connections: int = 0

    @property
    def sweep_seconds(self) -> float:
        """How often to look: fine enough for the shortest of them."""
        return min(1.0, max(0.02, min(self.head_seconds, self.stall_seconds) / 4))


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits on bytes and on time, which its parser does not have."""

    _head_since = 0.0
    """When the connection stood, or the first byte of the head came."""
    _window: tuple[str, float, int] = ("", 0.0, 0)
    """What is looked at, since when, and how many bytes there were then."""
    _answering: RequestResponseCycle | None = None
    """The request whose answer is under way; `cycle` is the newest one."""
    _is_held = False
    """Whether the answer is the connection's last unless the body comes first."""
    _keeps_alive = True
    """Whether the client wants the connection to stay after the held answer."""
    _is_deaf = False
    """Whether what the client sends is dropped."""
    _dropped = 0
    _lingers_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._bounds = MessageBounds()
        self._head_since = self.loop.time()
        # uvicorn's own refusal has no Retry-After, and counts requests of other connections.
        limit, self.limit_concurrency = self.limit_concurrency, None
        ending = (self._may_get_more, self._linger)
        super().connection_made(LingeringWriter(transport, self.loop, *ending))
        if limit and len(self.connections) > limit:
            SLOW_CLIENTS.labels("full").inc()
            self.app = refuse_full
            if len(self.connections) > HARD_LIMIT * limit:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forsake_answers()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self._keeps_alive = False
        super().shutdown()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf or self.transport.is_closing():
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        if self._bounds.in_head and not self._bounds.received and self.cycle is not None:
            self._head_since = self.loop.time()
        if len(data) <= FEED_BYTES:
            self._feed(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), FEED_BYTES):
            self._feed(view[start : start + FEED_BYTES])
            if self._is_deaf:
                return

    def on_url(self, url: bytes) -> None:
        self._bounds.add_line(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        bounds = self._bounds
        # After the body the parser calls trailers by the same name. Nobody may change by them what
        # was said, and checked, in the head.
        if not bounds.in_head:
            return
        bounds.add_line(len(name) + len(value))
        name = name.lower()
        if name in FRAMING:
            bounds.add_framing(name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        self._bounds.end_head(version)
        self.expect_100_continue = self._bounds.asks_to_go_on and version != "1.0"
        super().on_headers_complete()
        self._bounds.in_head = False
        if len(self.pipeline) > MAX_PIPELINED:
            raise WireError(400, "too many requests wait for an answer on this connection")

    def on_chunk_header(self) -> None:
        """Called by the parser after the size line of a chunk."""
        self._bounds.add_chunk()

    def on_body(self, body: bytes) -> None:
        self._bounds.content += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if self._is_held and not cycle.response_started:
            cycle.keep_alive = self._keeps_alive
        super().on_message_complete()
        self._is_held = False
        self._bounds.begin()
        if cycle.response_complete and not self.transport.is_closing():
            # uvicorn's timer, which ran since the answer, ended with the rest of the body.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def look(self, limits: ClientLimits, now: float) -> None:
        """Cut the connection if its client is too slow."""
        if self.flow.write_paused:
            self._look_at_answer(limits, now)
        elif self.transport.is_closing():
            self._look_at_end(limits, now)
        elif self._is_deaf:
            self._window = ("", now, 0)
        elif self._bounds.in_head:
            self._window = ("", now, 0)
            # Between two requests uvicorn has a timer of its own.
            is_idle = self.cycle is None or self.cycle.response_complete
            is_waiting = is_idle and (self.cycle is None or self._bounds.received > 0)
            if is_waiting and now - self._head_since > limits.head_seconds:
                self._give_up("head")
        elif self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._window = ("", now, 0)  # it is we who do not read
        elif self._moved_too_little("body", self._bounds.content, limits, now):
            self._give_up("body")

    def _look_at_answer(self, limits: ClientLimits, now: float) -> None:
        left = self.transport.get_write_buffer_size()
        if self._moved_too_little("answer", -left, limits, now):
            SLOW_CLIENTS.labels("answer").inc()
            # What the client does not take would keep a polite end waiting for ever.
            self.transport.abort()

    def _look_at_end(self, limits: ClientLimits, now: float) -> None:
        if self.transport.get_write_buffer_size():
            self._look_at_answer(limits, now)
            return
        what, since, dropped = self._window
        if what != "end" or dropped != self._dropped:
            self._window = ("end", now, self._dropped)
            since = now
        is_over = now - since > QUIET_SECONDS or now - self._lingers_since > LINGER_SECONDS
        if self._lingers_since and is_over:
            self.transport.abort()

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
        self._refuse(WireError(408, f"the {what} came too slowly"), what)

    def _feed(self, data: bytes | memoryview) -> None:
        """Parse it; a message that is not acceptable ends the connection."""
        while data:
            rest: bytes | memoryview = b""
            self._bounds.received += len(data)
            try:
                self.parser.feed_data(data)
                self._bounds.check()
            except httptools.HttpParserUpgrade as upgrade:
                # No other protocol is spoken: what follows is the next request.
                rest = data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                said = error.__context__
                wrong = WireError(400, "the request is not valid HTTP/1.1")
                self._refuse(said if isinstance(said, WireError) else wrong, "malformed")
            except WireError as error:
                self._refuse(error, "malformed")
            data = rest
        if not self._bounds.in_head and not self._is_held and not self._is_deaf:
            self._hold()

    def _hold(self) -> None:
        """Make the answer the last one if it comes before a body that is not worth reading."""
        is_large = self._bounds.is_chunked or self._bounds.declared > KEEP_BYTES
        # Who waits for a word before it sends the body may never send it.
        if (is_large or self.cycle.waiting_for_100_continue) and not self.cycle.response_started:
            self._is_held = True
            self._keeps_alive, self.cycle.keep_alive = self.cycle.keep_alive, False

    def _refuse(self, error: WireError, why: str) -> None:
        """Say what is wrong if there is a place to say it, and end the connection."""
        SLOW_CLIENTS.labels(why).inc()
        in_head, cycle = self._bounds.in_head, self.cycle
        self._is_deaf = True
        if self.pipeline or (in_head and cycle is not None and not cycle.response_complete):
            self._end_after_answers()
            return
        if in_head or not cycle.response_started:
            self.transport.write(whole_refusal(error))
        self.transport.close()

    def _end_after_answers(self) -> None:
        """Finish what was asked before, and nothing else."""
        if self.pipeline and not self._bounds.in_head:
            self.pipeline.popleft()  # the broken request itself
        last = self.pipeline[0][0] if self.pipeline else self._answering
        assert last is not None
        self.cycle = last
        last.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _forsake_answers(self) -> None:
        """Tell the request that is being answered that nobody takes the answer."""
        # uvicorn tells only the newest one, which may still wait behind it.
        self.pipeline.clear()
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def _may_get_more(self) -> bool:
        """Whether the client may be in the middle of a request."""
        return self._is_deaf or not self._bounds.in_head or self._bounds.received > 0

    def _linger(self) -> None:
        self._is_deaf = True
        self._lingers_since = self.loop.time()
        self._unset_keepalive_if_required()
        self._forsake_answers()
        self.flow.resume_reading()

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._dropped > LINGER_BYTES:
            self.transport.abort()


async def sweep(connections: Iterable[Any], limits: ClientLimits) -> None:
    """Look at all connections again and again, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(limits.sweep_seconds)
        now = loop.time()
        for connection in tuple(connections):
            connection.look(limits, now)
