"""Somebody's endpoint: a real HTTP server on loopback that answers what a test tells it to."""

import asyncio
import importlib.util
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[4] / "deploy" / "demo" / "on_webhook.py"

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer(status: int, *headers: str) -> bytes:
    """An answer without a body."""
    lines = (f"HTTP/1.1 {status} Whatever", "content-length: 0", *headers, "", "")
    return "\r\n".join(lines).encode()


@dataclass(frozen=True)
class Received:
    """One request."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """What came, and what is answered."""

    port: int = 0
    connections: int = 0
    requests: list[Received] = field(default_factory=list)
    answer: Callable[[Received], bytes | None] = lambda _: OK
    """None: say nothing, ever."""
    _serving: dict[Any, asyncio.StreamWriter] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?key=of-the-owner"

    @property
    def ids(self) -> set[str]:
        return {request.id for request in self.requests}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, of as many requests as the other side likes."""
        self.connections += 1
        self._serving[asyncio.current_task()] = writer
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._answer(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def close(self) -> None:
        """Cut off whoever still waits for an answer."""
        for writer in self._serving.values():
            writer.transport.abort()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.strip().split("\r\n")
        if line.startswith("PRI "):
            # A gRPC client of the test before, whose server had this port.
            self.connections -= 1
            raise ConnectionAbortedError
        headers = {name.lower(): value for name, value in (each.split(": ") for each in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        received = Received(line, headers, body)
        self.requests.append(received)
        said = self.answer(received)
        if said is None:
            await reader.read()  # until the other side has had enough
            return
        writer.write(said)
        await writer.drain()
        if b"\r\n\r\n" not in said:
            raise ConnectionAbortedError  # half an answer


@asynccontextmanager
async def receiving(
    port: int = 0, tls: ssl.SSLContext | None = None, **changes: Any
) -> AsyncIterator[Receiver]:
    """Serves until the block ends."""
    receiver = Receiver(**changes)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await receiver.close()


def example() -> Any:
    """The receiver that the documentation shows, as a module."""
    spec = importlib.util.spec_from_file_location("on_webhook", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_genuine(secret: str, request: Received) -> bool:
    """Whether the example takes the request for ours."""
    return bool(example().is_genuine(secret, request.headers, request.body))
