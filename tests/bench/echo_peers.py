"""Inference and moderation without engine and rules: both answer at once, inference with 1 KB.

Bare grpc.aio and no interceptors, so that what a path takes around its calls is the path's own.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop
from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.inference.v1 import inference_service_pb2 as inference
from modelmill.moderation.v1 import moderation_service_pb2 as moderation
from modelmill_service_kit.process import announce_ready, run_service
from modelmill_service_kit.settings import ServiceSettings
from pydantic_settings import SettingsConfigDict

INFERENCE = "modelmill.inference.v1.InferenceService"
MODERATION = "modelmill.moderation.v1.ModerationService"
SENTENCE = "Coffee is brewed under pressure, and small plants grow near water. "
TEXT = (SENTENCE * 16)[:1024]


class EchoSettings(ServiceSettings):
    """As ECHO_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="ECHO_", frozen=True)


async def generate(
    request: inference.GenerateRequest, context: Any
) -> AsyncIterator[inference.GenerateResponse]:
    """The one method of inference that a chat needs."""
    usage = TokenUsage(prompt_tokens=200, completion_tokens=200)
    end = inference.GenerationEnd(finish_reason="stop", usage=usage, version_id=request.model)
    yield inference.GenerateResponse(text_delta=TEXT, end=end, version_id=request.model)


async def check(request: moderation.CheckRequest, context: Any) -> moderation.CheckResponse:
    """The one method of moderation that a chat needs; nothing is looked at."""
    verdict = moderation.Verdict(action=moderation.ACTION_ALLOW, text=request.text)
    return moderation.CheckResponse(verdict=verdict)


async def serve(settings: EchoSettings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`."""
    server = grpc.aio.server()
    generating = grpc.unary_stream_rpc_method_handler(
        generate,
        inference.GenerateRequest.FromString,
        inference.GenerateResponse.SerializeToString,
    )
    checking = grpc.unary_unary_rpc_method_handler(
        check, moderation.CheckRequest.FromString, moderation.CheckResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(INFERENCE, {"Generate": generating}),
            grpc.method_handlers_generic_handler(MODERATION, {"Check": checking}),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    announce_ready(grpc=port)
    await stopping.wait()
    await server.stop(grace=1)


if __name__ == "__main__":
    run_service("echo-peers", EchoSettings, serve, loop_factory=uvloop.new_event_loop)
