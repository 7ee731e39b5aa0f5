"""modelmill.inference.v1 over gRPC: unpack, call the use case, pack. No rules live here."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from tokenization import Turn

from inference.domain.generation import SamplingOptions
from inference.generate_text import AnswerEnd, GenerateCommand, GenerateText
from inference.lease_version import VersionPool

Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer(pb_grpc.InferenceServiceServicer):
    """Generates text from model versions, and says which ones are loaded."""

    def __init__(self, generate_text: GenerateText, versions: VersionPool) -> None:
        self._generate_text = generate_text
        self._versions = versions

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        async with aclosing(self._generate_text(_command(request))) as parts:
            async for part in parts:
                end = None if part.end is None else _end(part.end)
                yield pb.GenerateResponse(text_delta=part.text, end=end)

    async def LoadModel(
        self, request: pb.LoadModelRequest, context: Context
    ) -> pb.LoadModelResponse:
        was_loaded = self._versions.is_loaded(request.version_id)
        async with self._versions.lease(request.tenant, request.version_id) as version:
            return pb.LoadModelResponse(
                engine=version.engine_name,
                load_seconds=0.0 if was_loaded else version.load_seconds,
            )

    async def ListServing(
        self, request: pb.ListServingRequest, context: Context
    ) -> pb.ListServingResponse:
        return pb.ListServingResponse(
            models=[
                pb.ServedModel(
                    version_id=served.version_id,
                    engine=served.engine_name,
                    in_flight=served.in_flight,
                )
                for served in self._versions.serving()
            ]
        )


def _command(request: pb.GenerateRequest) -> GenerateCommand:
    turns = None
    if request.WhichOneof("prompt") == "conversation":
        turns = tuple(
            Turn(role=message.role, content=message.content)
            for message in request.conversation.messages
        )
    options = request.options
    return GenerateCommand(
        tenant=request.tenant,
        version_id=request.version_id,
        turns=turns,
        text=request.text,
        options=SamplingOptions(
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            top_p=options.top_p or 1.0,
            stop=tuple(options.stop),
            seed=options.seed if options.HasField("seed") else None,
        ),
    )


def _end(end: AnswerEnd) -> pb.GenerationEnd:
    return pb.GenerationEnd(
        finish_reason=end.finish_reason,
        usage=TokenUsage(prompt_tokens=end.prompt_tokens, completion_tokens=end.completion_tokens),
        version_id=end.version_id,
        first_token_seconds=end.first_token_seconds,
    )
