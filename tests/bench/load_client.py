"""The load: chat completions over keep-alive connections, so many in flight, as light as can be.

It shares the machine with what it measures, so it parses only what tells the end of an answer and,
of a streamed one, the tokens in its usage. A process of its own, so that its CPU can be told apart.

Question: {"port", "token", "bodies", "in_flight"}. Answer: {"seconds", "tokens", "cpu_seconds",
"latencies"} (seconds of each request, by the order in which they ended).
"""

import asyncio
import re
import resource
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import uvloop

from tests.bench.worker import answer_all

LAST_CHUNK = b"0\r\n\r\n"
END_OF_HEAD = b"\r\n\r\n"
TAIL_BYTES = 2048
"""Holds the chunk with the usage and the end of the stream."""
TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
OK = b"HTTP/1.1 200 "


class RefusedError(Exception):
    """An answer was no success; the message is its beginning."""


class Connection(asyncio.Protocol):
    """Sends a request, sees to its answer, and sends the next, until there are no more."""

    def __init__(self, requests: deque[bytes]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tokens = 0
        self.latencies: list[float] = []
        self._requests = requests
        self._transport: Any = None
        self._tail = b""
        self._left = 0
        """Bytes that an answer of known length still has to bring; 0 for a stream."""
        self._fresh = True
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RefusedError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        if self._fresh:
            self._begin(data)
        elif self._left:
            self._left -= len(data)
        else:
            self._tail = self._tail[-TAIL_BYTES:] + data
        if self._left == 0 and (not self._tail or self._tail.endswith(LAST_CHUNK)):
            self._ended()

    def _begin(self, data: bytes) -> None:
        """The head comes in one piece: it is far below a segment of loopback."""
        self._fresh = False
        if not data.startswith(OK):
            self.done.set_exception(RefusedError(data[:600].decode(errors="replace")))
            self._transport.abort()
            return
        head, _, body = data.partition(END_OF_HEAD)
        length = LENGTH.search(head + b"\r\n")
        if length is None:
            self._tail = body or b"\r\n"
        else:
            self._tail, self._left = b"", int(length[1]) - len(body)

    def _ended(self) -> None:
        if self.done.done():
            return
        self.latencies.append(time.perf_counter() - self._sent)
        counted = TOKENS.search(self._tail)
        if counted:
            self.tokens += int(counted[1])
        self._next()

    def _next(self) -> None:
        if not self._requests:
            self.done.set_result(None)
            self._transport.close()
            return
        self._fresh, self._tail, self._left = True, b"", 0
        self._sent = time.perf_counter()
        self._transport.write(self._requests.popleft())


def head_of(asked: Mapping[str, Any]) -> str:
    """Of every request; the length of its body is still to come."""
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{asked['port']}\r\n"
        f"authorization: Bearer {asked['token']}\r\ncontent-type: application/json\r\n"
    )


async def load(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Send every body once, `in_flight` at a time."""
    head = head_of(asked)
    bodies = [body.encode() for body in asked["bodies"]]
    requests = deque(
        f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies
    )
    loop = asyncio.get_running_loop()
    cpu, started = _cpu_seconds(), time.perf_counter()
    connections: list[Connection] = []
    for _ in range(min(asked["in_flight"], len(bodies))):
        _, connection = await loop.create_connection(
            lambda: Connection(requests), "127.0.0.1", asked["port"]
        )
        connections.append(connection)
    await asyncio.gather(*(connection.done for connection in connections))
    return {
        "seconds": time.perf_counter() - started,
        "tokens": sum(connection.tokens for connection in connections),
        "cpu_seconds": _cpu_seconds() - cpu,
        "latencies": [one for connection in connections for one in connection.latencies],
    }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer_all(lambda asked: runner.run(load(asked)))
