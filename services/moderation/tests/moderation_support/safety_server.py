"""A content-safety service that is well, or ill in every way that a real one can be."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from modelmill_testkit.waiting import eventually
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

PATH, AZURE_PATH = "/v1/moderations", "/contentsafety/text:analyze"
HIGH, LOW = 0.9, 0.1

Behaviour = Callable[[Request], Awaitable[Response]]


@dataclass
class SafetyServer:
    """Finds a category in a text that has its name in it. First come the behaviours of `next`."""

    next: list[Behaviour] = field(default_factory=list)
    always: Behaviour | None = None
    """In place of being well."""
    texts: list[str] = field(default_factory=list)
    """That were asked about."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> Starlette:
        """The API."""
        paths = (PATH, AZURE_PATH)
        return Starlette(routes=[Route(path, self._answer, methods=["POST"]) for path in paths])

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        text = body["input"] if request.url.path == PATH else body["text"]
        self.texts.append(text)
        self.headers.append(dict(request.headers))
        behaviour = self.next.pop(0) if self.next else self.always
        if behaviour:
            return await behaviour(request)
        return JSONResponse(view(text) if request.url.path == PATH else azure_view(text))


def view(text: str, **changes: Any) -> dict[str, Any]:
    """An answer as OpenAI's; the changed scores go in place of those found."""
    scores = {name: HIGH if name in text else LOW for name in ("hate", "violence")} | changes
    flags = {name: score == HIGH for name, score in scores.items()}
    result = {"flagged": any(flags.values()), "categories": flags, "category_scores": scores}
    return {"id": "modr-1", "model": "test", "results": [result]}


def azure_view(text: str) -> dict[str, Any]:
    """An answer as Azure's, by eight levels."""
    found = [
        {"category": name, "severity": 6 if name.lower() in text else 0}
        for name in ("Hate", "Violence")
    ]
    return {"blocklistsMatch": [], "categoriesAnalysis": found}


def status(code: int, **headers: str) -> Behaviour:
    """Answers with it."""

    async def behave(request: Request) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return JSONResponse({"error": {"message": "no"}}, code, named)

    return behave


def body(content: bytes, **headers: str) -> Behaviour:
    """Answers 200 with these bytes."""

    async def behave(request: Request) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(content, 200, named, "application/json")

    return behave


def scores(**changes: Any) -> Behaviour:
    """Answers as a service that is well, with other scores."""

    async def behave(request: Request) -> Response:
        return Response(json.dumps(view("", **changes)), media_type="application/json")

    return behave


async def hang(request: Request) -> Response:
    """Says nothing."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()


async def endless(request: Request) -> Response:
    """Says spaces for ever, which JSON may begin with."""

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 16_384
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="application/json")


async def trickle(request: Request) -> Response:
    """Says a space now and then: each read is quick, and the answer never there."""

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    return StreamingResponse(pieces(), media_type="application/json")


async def broken_off(request: Request) -> Response:
    """Promises more than it says."""
    answer = Response(b'{"results": [', media_type="application/json")
    answer.headers["content-length"] = "1000"
    return StreamingResponse(_once(b'{"results": ['), headers=dict(answer.headers))


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


@asynccontextmanager
async def serving(server: SafetyServer) -> AsyncIterator[str]:
    """The address that texts are posted to, while it serves in this process."""
    config = uvicorn.Config(
        server.app(), port=0, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    try:
        await eventually(lambda: running.started)
        host, port = running.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}{PATH}"
    finally:
        running.should_exit = True
        await task


@asynccontextmanager
async def saying(reply: bytes) -> AsyncIterator[str]:
    """The address of a peer that says these bytes to whatever comes, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(reply)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}"
