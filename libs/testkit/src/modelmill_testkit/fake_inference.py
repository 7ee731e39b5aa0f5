"""An inference service for tests, on a socket or called as a stub is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc.aio import AioRpcError, Metadata
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1.inference_service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)
from modelmill_inference_client.inference_models import InferenceModels
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.grpc_server import RpcServer

from modelmill_testkit.service_process import SECRET

VERSION, NEWER = "mv-1", "mv-2"


def refusal(code: grpc.StatusCode, reason: str = "", retry_after: str = "") -> AioRpcError:
    """What a call raises when a service says no; without a reason it is gRPC that says so."""
    said = [("modelmill-reason", reason)] if reason else []
    said += [("retry-after", retry_after)] if retry_after else []
    return AioRpcError(code, Metadata(), Metadata(*said), details="no")


class FakeInference(InferenceServiceServicer):
    """Has versions mv-1 and mv-2 and an alias "base", and a template only where it is told.

    A mean token costs as many nats as the text has different characters; a text with "unreadable"
    has no score. Prompts are answered with their last paragraph and ", or so"; one with "endless"
    in it never ends.

    Args:
        failures: What the first calls raise.
    """

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.requests: list[Any] = []
        self.alias = VERSION
        self.running = 0
        self.most_running = 0

    async def Score(self, request: pb.ScoreRequest, context: Any) -> pb.ScoreResponse:
        version = await self._take(request)
        if any("unreadable" in text for text in request.continuations):
            raise InvalidInputError("the prompt is too long")
        scores = [
            pb.ContinuationScore(
                log_likelihood=-float(len(set(text)) * len(text)), tokens=len(text)
            )
            for text in request.continuations
        ]
        return pb.ScoreResponse(scores=scores, version_id=version)

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncIterator[pb.GenerateResponse]:
        version = await self._take(request)
        text = request.conversation.messages[-1].content.split("\n\n")[-1]
        if "unreadable" in text:
            raise InvalidInputError("the prompt is too long")
        yield pb.GenerateResponse(text_delta=text, version_id=version)
        reason = "length" if "endless" in text else "stop"
        end = pb.GenerationEnd(finish_reason=reason, version_id=version)
        if request.model == "cascade":
            end.cascade.escalated = True
        yield pb.GenerateResponse(text_delta=", or so", end=end)

    async def _take(self, request: Any) -> str:
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        if self.failures:
            raise self.failures.pop(0)
        named = {"base": self.alias, "cascade": NEWER, VERSION: VERSION, NEWER: NEWER}
        if request.model not in named:
            raise NotFoundError(f"no model {request.model}")
        return named[request.model]


class DirectStub:
    """Calls a service in this process."""

    def __init__(self, service: FakeInference) -> None:
        self._service = service

    async def Score(self, request: pb.ScoreRequest, timeout: float) -> pb.ScoreResponse:
        assert timeout > 0
        return await self._service.Score(request, None)

    def Generate(
        self, request: pb.GenerateRequest, timeout: float
    ) -> AsyncIterator[pb.GenerateResponse]:
        assert timeout > 0
        return self._service.Generate(request, None)


class Sleeper:
    """Waits for nothing and remembers how long it was told to."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def inference_models(service: FakeInference, sleeper: Sleeper | None = None) -> InferenceModels:
    """Asks the service in this process, by a clock that stands still."""
    stub: Any = DirectStub(service)
    return InferenceModels(stub, sleep=sleeper or Sleeper(), clock=lambda: 0.0)


@asynccontextmanager
async def serving(service: FakeInference) -> AsyncIterator[str]:
    """The service on a socket; its address."""
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
    add_InferenceServiceServicer_to_server(service, server.grpc)
    async with server:
        yield f"127.0.0.1:{server.port}"
