"""Prompts go to the inference service over a real socket, and answers come back in order."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import grpc
import pytest
from data_prep.adapters.inference_texts import InferenceTexts
from data_prep.domain.augmenting.generated import Prompt
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from service_kit.errors import NotFoundError, UnavailableError
from service_kit.grpc_client import open_channel
from testkit.ports import free_port
from testkit.service_process import SECRET


class FakeInference(pb_grpc.InferenceServiceServicer):
    """Answers with the prompt in capitals, in two pieces."""

    def __init__(self) -> None:
        self.requests: list[pb.GenerateRequest] = []

    async def Generate(
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        self.requests.append(request)
        text = request.conversation.messages[0].content
        if request.model == "unknown":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        if text == "too long":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the prompt is too long")
        yield pb.GenerateResponse(text_delta=text[:1].upper())
        reason = "length" if text == "endless" else "stop"
        yield pb.GenerateResponse(
            text_delta=text[1:].upper(), end=pb.GenerationEnd(finish_reason=reason)
        )


@contextmanager
def serving(service: FakeInference, address: str) -> Iterator[None]:
    """Serve in a thread of its own, as the caller has no event loop."""
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def run() -> None:
        server = grpc.aio.server()
        pb_grpc.add_InferenceServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
        server.add_insecure_port(address)
        await server.start()
        ready.set()
        await stopping.wait()
        await server.stop(None)

    stopping = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        assert ready.wait(20)
        yield
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(20)
        loop.close()


def texts_of(address: str, model: str = "m") -> InferenceTexts:
    return InferenceTexts(
        lambda: open_channel(address, SECRET), tenant="acme", model=model, at_a_time=2, timeout=20
    )


def test_answers_come_in_the_order_of_the_prompts() -> None:
    service, address = FakeInference(), f"127.0.0.1:{free_port()}"
    words = ["one", "too long", "two", "endless", "three"]

    with serving(service, address):
        answers = texts_of(address)([Prompt(word, 20, 2**64 + 7) for word in words])

    assert answers == ["ONE", "", "TWO", "", "THREE"]
    request = service.requests[0]
    assert (request.tenant, request.model) == ("acme", "m")
    assert (request.options.max_new_tokens, request.options.seed) == (20, 7)
    assert request.options.temperature == 0


def test_nothing_is_asked_without_prompts() -> None:
    assert texts_of("127.0.0.1:1")([]) == []


def test_a_model_that_is_unknown_and_a_service_that_is_away_are_errors() -> None:
    service, address = FakeInference(), f"127.0.0.1:{free_port()}"

    with serving(service, address), pytest.raises(NotFoundError):
        texts_of(address, "unknown")([Prompt("one", 20, 0)])
    with pytest.raises(UnavailableError, match="inference does not answer"):
        texts_of(address)([Prompt("one", 20, 0)])
