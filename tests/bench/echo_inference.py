"""An inference service without an engine: Generate answers at once, with 1 KB of harmless text.

Bare grpc.aio and no interceptors, so that what the path takes around it is gateway and moderation.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.inference.v1 import inference_service_pb2 as pb
from pydantic_settings import SettingsConfigDict
from service_kit.process import announce_ready, run_service
from service_kit.settings import ServiceSettings

SERVICE = "modelmill.inference.v1.InferenceService"
SENTENCE = "Coffee is brewed under pressure, and small plants grow near water. "
TEXT = (SENTENCE * 16)[:1024]


class EchoSettings(ServiceSettings):
    """As ECHO_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="ECHO_", frozen=True)


async def generate(request: pb.GenerateRequest, context: Any) -> AsyncIterator[pb.GenerateResponse]:
    """The one method that a chat needs."""
    usage = TokenUsage(prompt_tokens=200, completion_tokens=200)
    end = pb.GenerationEnd(finish_reason="stop", usage=usage, version_id=request.version_id)
    yield pb.GenerateResponse(text_delta=TEXT, end=end)


async def serve(settings: EchoSettings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`."""
    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(
        generate, pb.GenerateRequest.FromString, pb.GenerateResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Generate": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    announce_ready(grpc=port)
    await stopping.wait()
    await server.stop(grace=1)


if __name__ == "__main__":
    run_service("inference-echo", EchoSettings, serve)
