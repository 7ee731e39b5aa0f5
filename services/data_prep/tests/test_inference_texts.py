"""Prompts go to the inference service over a real socket, and answers come back in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from data_prep.adapters.inference_texts import InferenceTexts
from data_prep.domain.augmenting.generated import Prompt
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1.inference_service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)
from service_kit.errors import InvalidInputError, NotFoundError, UnavailableError
from service_kit.grpc_client import open_channel
from service_kit.grpc_server import RpcServer
from testkit.service_process import SECRET


class FakeInference(InferenceServiceServicer):
    """Answers with the prompt in capitals, in two pieces."""

    def __init__(self) -> None:
        self.requests: list[pb.GenerateRequest] = []

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncIterator[pb.GenerateResponse]:
        self.requests.append(request)
        text = request.conversation.messages[0].content
        if request.model == "unknown":
            raise NotFoundError("no such model")
        if text == "too long":
            raise InvalidInputError("the prompt is too long")
        yield pb.GenerateResponse(text_delta=text[:1].upper())
        reason = "length" if text == "endless" else "stop"
        yield pb.GenerateResponse(
            text_delta=text[1:].upper(), end=pb.GenerationEnd(finish_reason=reason)
        )


@asynccontextmanager
async def serving(service: FakeInference) -> AsyncIterator[str]:
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
    add_InferenceServiceServicer_to_server(service, server.grpc)
    async with server:
        yield f"127.0.0.1:{server.port}"


async def answers_of(address: str, words: list[str], model: str = "m") -> list[str]:
    """Asked from a thread, as the caller has no event loop."""
    texts = InferenceTexts(
        lambda: open_channel(address, SECRET), tenant="acme", model=model, at_a_time=2, timeout=20
    )
    return await asyncio.to_thread(texts, [Prompt(word, 20, 2**64 + 7) for word in words])


async def test_answers_come_in_the_order_of_the_prompts() -> None:
    service = FakeInference()  # type: ignore[abstract]
    words = ["one", "too long", "two", "endless", "three"]

    async with serving(service) as address:
        answers = await answers_of(address, words)

    assert answers == ["ONE", "", "TWO", "", "THREE"]
    request = service.requests[0]
    assert (request.tenant, request.model) == ("acme", "m")
    assert (request.options.max_new_tokens, request.options.seed) == (20, 7)
    assert request.options.temperature == 0


async def test_nothing_is_asked_without_prompts() -> None:
    assert await answers_of("127.0.0.1:1", []) == []


async def test_a_model_that_is_unknown_and_a_service_that_is_away_are_errors() -> None:
    service = FakeInference()  # type: ignore[abstract]
    async with serving(service) as address:
        with pytest.raises(NotFoundError, match="no such model"):
            await answers_of(address, ["one"], "unknown")
    with pytest.raises(UnavailableError, match="inference does not answer"):
        await answers_of(address, ["one"])
