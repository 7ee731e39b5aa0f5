"""The load of streams: all begun at once, each read as it comes, as light as can be.

A process of its own. Question: {"port", "token", "body", "streams", "deltas", "times"}: so many
streams side by side, `times` one after the other on each connection. Answer: {"first_seconds"}
(of each stream, from the last byte of the request to the first delta), {"gaps"} (seconds between
deltas of one stream, all of them; 0 within one read) and {"complete"} (streams that brought all).
"""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

import uvloop

from tests.bench.gateway.mock_upstream import DELTA, DONE
from tests.bench.worker import answer_all

MARK = DELTA.split()[0].encode()
FIRST = re.compile(rb'"content": ?"[^"]')
"""The first text, however little of it a guard lets go."""
LAST_CHUNK = b"0\r\n\r\n"
LONGEST_SECONDS = 60.0


class Stream(asyncio.Protocol):
    """One connection: the same request again and again, its deltas counted by their first word."""

    def __init__(self, request: bytes, deltas: int, times: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.first_seconds: list[float] = []
        self.gaps: list[float] = []
        self.complete = 0
        self._request, self._deltas, self._left = request, deltas, times
        self._transport: Any = None
        self._tail = b""
        self._seen = 0
        self._has_begun = False
        self._at = self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def begin(self) -> None:
        """Send the request once more, or leave."""
        if not self._left:
            self._finish()
            return
        self._left -= 1
        self._tail, self._seen, self._has_begun = b"", 0, False
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self._has_begun and FIRST.search(data):
            self._has_begun = True
            self.first_seconds.append(now - self._began)
        new = data.count(MARK)
        if new:
            since = [now - self._at] if self._seen else []
            self.gaps += [*since, *[0.0] * (new - 1)]
            self._seen += new
            self._at = now
        self._tail = (self._tail + data)[-64:]
        if self._tail.endswith(LAST_CHUNK):
            self.complete += self._seen == self._deltas and DONE in self._tail
            self.begin()

    def connection_lost(self, _error: Exception | None) -> None:
        self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
            self._transport.close()


async def load(asked: Mapping[str, Any]) -> dict[str, Any]:
    """All streams, to their ends or until LONGEST_SECONDS are over."""
    body = asked["body"].encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{asked['port']}\r\n"
        f"authorization: Bearer {asked['token']}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    for _ in range(asked["streams"]):
        _, stream = await loop.create_connection(
            lambda: Stream(head.encode() + body, asked["deltas"], asked["times"]),
            *("127.0.0.1", asked["port"]),
        )
        streams.append(stream)
    for stream in streams:
        stream.begin()
    await asyncio.wait([stream.done for stream in streams], timeout=LONGEST_SECONDS)
    return {
        "first_seconds": [one for stream in streams for one in stream.first_seconds],
        "gaps": [one for stream in streams for one in stream.gaps],
        "complete": sum(stream.complete for stream in streams),
    }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer_all(lambda asked: runner.run(load(asked)))
