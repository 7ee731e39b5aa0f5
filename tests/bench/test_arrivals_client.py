"""The client of `capacity` over connections that the server closes."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.bench.arrivals_client import answer

ANSWER = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b'28\r\n{"content": "a"} {"completion_tokens": 7}\r\n0\r\n\r\n'
)
AT = [0.0, 0.2, 0.4]


class ClosingServer:
    """Answers so many requests of a connection, and closes it instead of answering another one."""

    def __init__(self) -> None:
        self.port = 0
        self.answers = 1
        self.closes_at_once = False
        self.connections: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.current_task())
        for _ in range(self.answers):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length[1]))
            writer.write(ANSWER)
        if not self.closes_at_once:
            await reader.read(1)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def server() -> AsyncIterator[ClosingServer]:
    closing = ClosingServer()
    async with await asyncio.start_server(closing.serve, "127.0.0.1", 0) as listening:
        closing.port = listening.sockets[0].getsockname()[1]
        yield closing
        await asyncio.wait(closing.connections, timeout=5)


@pytest.mark.parametrize("closes_at_once", [True, False], ids=["while idle", "at the request"])
async def test_a_request_over_a_line_that_the_server_closes_goes_over_another_one(
    server: ClosingServer, closes_at_once: bool
) -> None:
    server.closes_at_once = closes_at_once
    async with asyncio.timeout(10):
        asked = {"port": server.port, "token": "t", "bodies": ["{}"] * len(AT), "at": AT}
        found = (await answer(asked))["requests"]

    assert [(it["status"], it["tokens"]) for it in found] == [(200, 7)] * len(AT)
    assert len(server.connections) == len(AT)


async def test_a_request_that_a_new_line_does_not_answer_ends_without_an_answer(
    server: ClosingServer,
) -> None:
    server.answers = 0
    async with asyncio.timeout(10):
        asked = {"port": server.port, "token": "t", "bodies": ["{}"], "at": [0.0]}
        (found,) = (await answer(asked))["requests"]

    assert (found["status"], found["ended"]) == (0, None)
