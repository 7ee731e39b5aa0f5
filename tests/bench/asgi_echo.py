"""The floors of latency: raw ASGI apps that send back their answer, served as the gateway's is.

uvicorn and uvloop with the gateway's settings. Without peers there is no work at all: the body is
read, 1 KB of JSON is sent. With ECHO_PEERS_ADDRESS two bare gRPC calls come in between, one that is
answered whole and one with a stream, which is what no chat through three processes does without.
The listener is uvicorn's own and not the gateway's, so that what the gateway does to its sockets is
in the ratio.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import grpc
import uvloop
from modelmill.inference.v1.inference_service_pb2 import GenerateRequest
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill.moderation.v1.moderation_service_pb2 import CheckRequest
from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceStub
from modelmill_service_kit.process import announce_ready, run_service
from modelmill_service_kit.settings import ServiceSettings
from pydantic_settings import SettingsConfigDict

from tests.bench.asgi_serving import asgi_app

ANSWER = b'{"text": "' + b"x" * 1010 + b'"}'
CALL_SECONDS = 10.0


class EchoSettings(ServiceSettings):
    """As ECHO_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="ECHO_", frozen=True)

    peers_address: str = ""
    """Of `echo_peers`; none are called when it is empty."""


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _send(send: Any, answer: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def echo(_scope: Any, receive: Any, send: Any) -> None:
    """One request, answered at once."""
    await _body(receive)
    await _send(send, ANSWER)


class Hops:
    """One request, answered after both calls."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._moderation = ModerationServiceStub(channel)
        self._inference = InferenceServiceStub(channel)

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        asked = json.loads(await _body(receive))
        text = asked["messages"][0]["content"]
        checked = await self._moderation.Check(CheckRequest(text=text), timeout=CALL_SECONDS)
        request = GenerateRequest(text=checked.verdict.text)
        answer = ""
        async for piece in self._inference.Generate(request, timeout=CALL_SECONDS):
            answer += piece.text_delta
        await _send(send, json.dumps({"text": answer}).encode())


async def serve(settings: EchoSettings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`."""
    async with AsyncExitStack() as stack:
        app: Any = echo
        if settings.peers_address:
            channel = grpc.aio.insecure_channel(settings.peers_address)
            app = Hops(await stack.enter_async_context(channel))
        announce_ready(http=await stack.enter_async_context(asgi_app(app)))
        await stopping.wait()


if __name__ == "__main__":
    run_service("asgi-echo", EchoSettings, serve, loop_factory=uvloop.new_event_loop)
