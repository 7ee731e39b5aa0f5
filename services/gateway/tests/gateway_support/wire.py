"""The HTTP server alone, before a small app, and a client that writes bytes."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from modelmill_gateway.adapters.http_protocol import ClientLimits
from modelmill_gateway.adapters.http_server import serve_http

READ_SECONDS = 20.0


@dataclass
class Echo:
    """An ASGI app: /echo reads all and tells it, /late once it may; /early does not read.

    /stream goes on until its client leaves.
    """

    asked: int = 0
    streams: int = 0
    most_streams: int = 0
    may_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        if scope["path"] == "/early":
            await _answer(send, 401, b"not read")
        elif scope["path"] == "/stream":
            await self._stream(receive, send)
        else:
            if scope["path"] == "/late":
                await self.may_read.wait()
            await _answer(send, 200, await _told(scope, receive))

    async def _stream(self, receive: Any, send: Any) -> None:
        self.streams += 1
        self.most_streams = max(self.streams, self.most_streams)
        try:
            start = {"type": "http.response.start", "status": 200, "headers": []}
            await send(start)
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self.streams -= 1


async def _told(scope: Any, receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        body, more = body + message["body"], message.get("more_body", False)
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    return json.dumps({"headers": headers, "body": body.decode()}).encode()


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Answer:
    """One answer as it came."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class RawClient:
    """Writes bytes and reads answers on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._begun = b""

    def send(self, *pieces: bytes) -> None:
        """Write them; whether they arrive nobody knows."""
        for piece in pieces:
            self.writer.write(piece)

    async def begun(self) -> None:
        """Wait until an answer begins to come."""
        async with asyncio.timeout(READ_SECONDS):
            self._begun = await self.reader.readexactly(1)

    async def answer(self) -> Answer:
        """The next answer, whole; it must say its length."""
        async with asyncio.timeout(READ_SECONDS):
            head = (self._begun + await self.reader.readuntil(b"\r\n\r\n")).decode()
            self._begun = b""
            status, *lines = head.strip().split("\r\n")
            pairs = (line.split(": ", 1) for line in lines)
            headers = {name.lower(): value for name, value in pairs}
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(status.split()[1]), headers, body)

    async def rest(self) -> bytes:
        """All that comes until the server ends the connection."""
        async with asyncio.timeout(READ_SECONDS):
            return await self.reader.read()

    def abort(self) -> None:
        """Leave without a word."""
        self.writer.transport.abort()


@asynccontextmanager
async def raw_client(address: str) -> AsyncIterator[RawClient]:
    """Connected to `address`, which is host:port."""
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def serving_echo(limits: ClientLimits | None = None) -> AsyncIterator[tuple[Echo, str]]:
    """The app and the address at which it answers."""
    app = Echo()
    async with serve_http(app, "127.0.0.1:0", drain_seconds=1, limits=limits) as server:
        yield app, f"127.0.0.1:{server.port}"
