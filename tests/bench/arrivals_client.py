"""The load of `capacity`: streamed chats at given times, or so many in flight; each one's times.

A process of its own, as light as can be. Question: {"port", "token", "bodies"} and either "at"
(seconds from the beginning, one a body, open loop) or "in_flight" and "seconds" (closed loop until
then; bodies are taken in order). Answer: {"requests"}, of each that was sent {"at", "first",
"ended"} (seconds from the beginning; null for what did not come), {"text"} (the first that came),
{"tokens", "prompt_tokens", "status"}.
"""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import uvloop

from tests.bench.load_client import LAST_CHUNK, TAIL_BYTES, TOKENS, head_of
from tests.bench.worker import answer_all

FIRST = re.compile(rb'"content": ?("(?:[^"\\]|\\.)+")')
PROMPT = re.compile(rb'"prompt_tokens": ?(\d+)')
OK = 200


@dataclass
class Sent:
    """One request; times are seconds from the beginning."""

    at: float
    first: float | None = None
    ended: float | None = None
    text: str = ""
    tokens: int = 0
    prompt_tokens: int = 0
    status: int = 0


class Line(asyncio.Protocol):
    """A kept connection, which answers one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._sent: Sent | None = None
        self._done: asyncio.Future[None] | None = None
        self._tail = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def ask(self, request: bytes, began: float) -> Sent:
        """Send a request and see to its answer."""
        self._began, self._tail = began, b""
        self._done = asyncio.get_running_loop().create_future()
        self._sent = Sent(time.perf_counter() - began)
        self._transport.write(request)
        await self._done
        return self._sent

    @property
    def is_open(self) -> bool:
        """Whether another request may follow."""
        return not self._transport.is_closing()

    def close(self) -> None:
        """No other request follows."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        sent, done = self._sent, self._done
        if sent is None or done is None or done.done():
            return
        now = time.perf_counter() - self._began
        if not sent.status:
            sent.status = int(data[9:12])
        if sent.first is None and (found := FIRST.search(data)):
            sent.first, sent.text = now, json.loads(found[1])
        self._tail = self._tail[-TAIL_BYTES:] + data
        if sent.status != OK:
            self._transport.close()  # an error's body ends as it likes
            done.set_result(None)
        elif self._tail.endswith(LAST_CHUNK):
            sent.ended = now
            for name, number in (("tokens", TOKENS), ("prompt_tokens", PROMPT)):
                counted = number.search(self._tail)
                setattr(sent, name, int(counted[1]) if counted else 0)
            done.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


class Load:
    """Requests over a pool of connections."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self._port = asked["port"]
        self._head = head_of(asked)
        self._bodies = [body.encode() for body in asked["bodies"]]
        self._idle: list[Line] = []
        self._began = 0.0

    async def open_loop(self, at: list[float]) -> list[Sent]:
        """Each body at its time, whatever became of the others."""
        self._began = time.perf_counter()
        tasks = []
        for number, when in enumerate(at):
            await asyncio.sleep(max(0.0, self._began + when - time.perf_counter()))
            tasks.append(asyncio.create_task(self._ask(number)))
        return list(await asyncio.gather(*tasks))

    async def closed_loop(self, in_flight: int, seconds: float) -> list[Sent]:
        """So many at a time; what is under way at the end is seen to its end."""
        self._began = time.perf_counter()
        numbers, sent = iter(range(len(self._bodies))), []

        async def one_after_another() -> None:
            while time.perf_counter() - self._began < seconds:
                number = next(numbers, None)
                if number is None:
                    return
                sent.append(await self._ask(number))

        await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
        return sent

    def close(self) -> None:
        """After the last request."""
        while self._idle:
            self._idle.pop().close()

    async def _ask(self, number: int) -> Sent:
        """Over a kept line; over another one if the server closed it just before the request."""
        body = self._bodies[number]
        request = f"{self._head}content-length: {len(body)}\r\n\r\n".encode() + body
        while True:
            kept = self._kept()
            line = kept or await self._connected()
            sent = await line.ask(request, self._began)
            if line.is_open:
                self._idle.append(line)
            if sent.status or kept is None:
                return sent

    def _kept(self) -> Line | None:
        """A line that is still open: the server closes those that are idle for some seconds."""
        while self._idle:
            if (line := self._idle.pop()).is_open:
                return line
        return None

    async def _connected(self) -> Line:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(Line, "127.0.0.1", self._port)
        return line


async def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """One question."""
    load = Load(asked)
    if "at" in asked:
        sent = await load.open_loop(asked["at"])
    else:
        sent = await load.closed_loop(asked["in_flight"], asked["seconds"])
    load.close()
    return {"requests": [asdict(each) for each in sent]}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer_all(lambda asked: runner.run(answer(asked)))
