"""Streams over raw sockets: cheap enough that the caller is not what is measured."""

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.overload.site import MODEL, Site

USAGE = b'"completion_tokens":'


@dataclass
class Outcomes:
    """What became of requests."""

    tokens_in_time: int = 0
    """Of answers that were whole before their deadline, and within the time that counts."""
    tokens: int = 0
    """Of all whole answers."""
    answered: int = 0
    late: int = 0
    refusals: list[float] = field(default_factory=list)
    """Seconds until each was there."""
    without_retry_after: int = 0
    others: list[str] = field(default_factory=list)


KEPT_SECONDS = 3.0
"""The gateway closes what was idle for five."""


class Connection:
    """One that is kept between requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.idle_since = 0.0

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """To a port of this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> bytes:
        """Send it; gives the head of the answer."""
        self.writer.write(request)
        return await self.reader.readuntil(b"\r\n\r\n")

    async def rest(self, head: bytes) -> bytes:
        """The body of a whole answer, or the last chunks of a stream."""
        if b"content-length: " in head:
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return await self.reader.readexactly(length)
        last = b""
        while True:
            size = int(await self.reader.readline(), 16)
            chunk = await self.reader.readexactly(size + 2)
            if not size:
                return last
            last = (last + chunk)[-2000:]

    def drop(self) -> None:
        """Leave without a word."""
        self.writer.transport.abort()


class Callers:
    """Of three tenants in turn; connections are kept and used again."""

    def __init__(self, site: Site, new_tokens: int, deadline_seconds: float) -> None:
        self._site = site
        self._new_tokens = new_tokens
        self._deadline = deadline_seconds
        self._idle: list[Connection] = []
        self._tenants = itertools.cycle(site.tokens.values())

    def request(self, new_tokens: int | None = None) -> bytes:
        """A stream of so many tokens."""
        body = json.dumps(
            {
                "model": MODEL,
                "messages": [{"role": "user", "content": "Tell me of coffee and plants."}],
                "max_tokens": new_tokens or self._new_tokens,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: load\r\n"
            f"authorization: Bearer {next(self._tenants)}\r\n"
            f"x-request-timeout: {self._deadline}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def capacity(self, in_flight: int, seconds: float) -> tuple[float, float]:
        """Tokens and answers a second that come of so many at a time."""
        outcomes, ends_at = Outcomes(), time.perf_counter() + seconds

        async def ask() -> None:
            while time.perf_counter() < ends_at:
                await self.one(outcomes, (0.0, ends_at))

        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(in_flight)))
        spent = time.perf_counter() - began
        return outcomes.tokens / spent, outcomes.answered / spent

    async def offer(self, rate: float, seconds: float, ramp_seconds: float) -> Outcomes:
        """Ask so often, evenly spaced, whatever becomes of it."""
        outcomes, began = Outcomes(), time.perf_counter()
        counted = (began + ramp_seconds, began + seconds)
        asked: list[asyncio.Task[None]] = []
        while (now := time.perf_counter()) - began < seconds:
            while len(asked) < (now - began) * rate:
                asked.append(asyncio.create_task(self.one(outcomes, counted)))
            await asyncio.sleep(max(0.0, began + len(asked) / rate - time.perf_counter()))
        await asyncio.gather(*asked)
        return outcomes

    def _kept(self) -> Connection | None:
        """The connection that was used last; none that the gateway may be closing by now."""
        while self._idle:
            connection = self._idle.pop()
            if time.perf_counter() - connection.idle_since < KEPT_SECONDS:
                return connection
            connection.drop()
        return None

    async def one(self, outcomes: Outcomes, counted: Sequence[float]) -> None:
        """One request, and what became of it."""
        connection = self._kept() or await Connection.open(self._site.port)
        sent = time.perf_counter()
        head = await connection.ask(self.request())
        answered = time.perf_counter()
        rest = await connection.rest(head)
        ended = time.perf_counter()
        connection.idle_since = ended
        self._idle.append(connection)
        status = head[9:12]
        if status == b"503":
            outcomes.refusals.append(answered - sent)
            outcomes.without_retry_after += b"\r\nretry-after: " not in head
        elif status == b"504" or b"deadline_exceeded" in rest:
            outcomes.late += 1
        elif status != b"200" or not rest.rstrip().endswith(b"[DONE]"):
            outcomes.others.append(repr(head[:80] + rest[-200:]))
        else:
            tokens = int(rest.rpartition(USAGE)[2].partition(b",")[0].rstrip(b"}"))
            outcomes.answered += 1
            outcomes.tokens += tokens
            if ended - sent > self._deadline:
                outcomes.late += 1
            elif counted[0] <= ended < counted[1]:
                outcomes.tokens_in_time += tokens

    async def begun(self, new_tokens: int) -> Connection:
        """A stream of which the first chunk with text is there."""
        connection = await Connection.open(self._site.port)
        head = await connection.ask(self.request(new_tokens))
        if head[9:12] != b"200":
            raise ConnectionError(repr(head[:80]))
        await connection.reader.readuntil(b"word")
        return connection

    def close(self) -> None:
        """End what is kept."""
        for connection in self._idle:
            connection.writer.close()
