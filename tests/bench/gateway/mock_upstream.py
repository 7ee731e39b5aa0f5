"""One upstream for both: OpenAI's chat over HTTP, and inference over gRPC, the same answers.

What comes depends on `max_tokens` alone: WHOLE gives 1 KB at once; any other number gives so many
deltas, PACE_SECONDS apart, the first at once. Asked over HTTP without `stream`, all come together.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import uvloop
from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.inference.v1 import inference_service_pb2 as inference
from modelmill_service_kit.process import announce_ready, run_service
from modelmill_service_kit.settings import ServiceSettings
from pydantic_settings import SettingsConfigDict

from tests.bench.asgi_serving import asgi_app
from tests.bench.echo_peers import INFERENCE, TEXT

WHOLE = 256
PACE_SECONDS = 0.02
DELTA = "Coffee is brewed. "
DONE = b"data: [DONE]\n\n"


class MockSettings(ServiceSettings):
    """As ECHO_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="ECHO_", frozen=True)


async def paced(count: int) -> AsyncIterator[int]:
    """Numbers from 0, one every PACE_SECONDS by the clock, so that a late one delays no other."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(count):
        wait = started + number * PACE_SECONDS - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        yield number


def usage(tokens: int) -> dict[str, int]:
    """In OpenAI's words."""
    return {"prompt_tokens": 200, "completion_tokens": tokens, "total_tokens": 200 + tokens}


# Over gRPC ----------------------------------------------------------------------------------------


async def generate(
    request: inference.GenerateRequest, context: Any
) -> AsyncIterator[inference.GenerateResponse]:
    """The one method of inference that a chat needs."""
    count = request.options.max_new_tokens
    spent = TokenUsage(prompt_tokens=200, completion_tokens=count)
    end = inference.GenerationEnd(finish_reason="stop", usage=spent, version_id=request.model)
    if count == WHOLE:
        yield inference.GenerateResponse(text_delta=TEXT, end=end, version_id=request.model)
        return
    async for number in paced(count):
        version = request.model if number == 0 else ""
        yield inference.GenerateResponse(text_delta=DELTA, version_id=version)
    yield inference.GenerateResponse(end=end)


# Over HTTP ----------------------------------------------------------------------------------------


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


MORE, LAST = _chunk({"content": DELTA}), _chunk({}, "stop")
FIRST = _chunk({"role": "assistant", "content": DELTA})


def _whole(count: int) -> bytes:
    text = TEXT if count == WHOLE else DELTA * count
    message = {"role": "assistant", "content": text}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage(count),
    }
    return json.dumps(body).encode()


async def chat(_scope: Any, receive: Any, send: Any) -> None:
    """POST /v1/chat/completions, and whatever else is asked for."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    asked = json.loads(body or b"{}")
    count = asked.get("max_tokens", WHOLE)
    if not asked.get("stream"):
        answer = _whole(count)
        await _begin(send, b"application/json", (b"content-length", str(len(answer)).encode()))
        await send({"type": "http.response.body", "body": answer})
        return
    await _begin(send, b"text/event-stream")
    async for number in paced(count):
        piece = MORE if number else FIRST
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": LAST + DONE})


async def _begin(send: Any, kind: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", kind), *more]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def serve(_settings: MockSettings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`."""
    handler = grpc.unary_stream_rpc_method_handler(
        generate,
        inference.GenerateRequest.FromString,
        inference.GenerateResponse.SerializeToString,
    )
    server = grpc.aio.server()
    generic = grpc.method_handlers_generic_handler(INFERENCE, {"Generate": handler})
    server.add_generic_rpc_handlers((generic,))
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with AsyncExitStack() as stack:
        http_port = await stack.enter_async_context(asgi_app(chat))
        announce_ready(grpc=grpc_port, http=http_port)
        await stopping.wait()
    await server.stop(grace=1)


if __name__ == "__main__":
    run_service("mock-upstream", MockSettings, serve, loop_factory=uvloop.new_event_loop)
