"""modelmill.gateway.v1 over gRPC: the token from the metadata, then the same use case as HTTP."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import grpc
from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.gateway.v1.gateway_service_pb2 import ChatRequest, ChatResponse
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceServicer
from service_kit.errors import InvalidInputError, UnauthenticatedError

from gateway.domain import access
from gateway.domain.access import Caller
from gateway.domain.chat import ChatCall, Sampling, Turn
from gateway.guarded_answer import GuardedAnswer

ROLES = ("system", "user", "assistant")


class Verifier(Protocol):
    """Turns a bearer token into a caller, or raises UnauthenticatedError."""

    async def verify(self, token: str) -> Caller: ...


class Answers(Protocol):
    """See `gateway.answer_chat.AnswerChat`."""

    def __call__(
        self, call: ChatCall, caller: Caller, *, request_id: str, seconds: float | None = None
    ) -> AbstractAsyncContextManager[GuardedAnswer]: ...


class GatewayServicer(GatewayServiceServicer):
    """For client apps; a client that cancels takes its generation with it."""

    def __init__(self, answer_chat: Answers, verifier: Verifier) -> None:
        self._answer_chat = answer_chat
        self._verifier = verifier

    async def Chat(
        self, request: ChatRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[ChatResponse]:
        """Answer one conversation."""
        caller = await self._caller(context)
        call = _call(request)
        request_id = f"req-{uuid.uuid4().hex}"
        await context.send_initial_metadata((("x-request-id", request_id),))
        seconds = context.time_remaining()
        answering = self._answer_chat(call, caller, request_id=request_id, seconds=seconds)
        async with answering as answer:
            async for text in answer.texts():
                yield ChatResponse(text_delta=text)
        yield _last(answer)

    async def _caller(self, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        metadata = context.invocation_metadata() or ()
        given = [str(value) for key, value in metadata if key == "authorization"]
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthenticatedError("send metadata authorization: Bearer <token>")
        caller = await self._verifier.verify(token)
        caller.require(access.CHAT)
        return caller


def _call(request: ChatRequest) -> ChatCall:
    errors = []
    if not request.model:
        errors.append("model: must be given")
    if not request.messages:
        errors.append("messages: must not be empty")
    for number, message in enumerate(request.messages):
        if message.role not in ROLES:
            errors.append(f"messages.{number}.role: must be one of {', '.join(ROLES)}")
    if not 0 <= request.temperature <= 2:
        errors.append("temperature: must be from 0 to 2")
    if errors:
        raise InvalidInputError(errors)
    turns = tuple(Turn(message.role, message.content) for message in request.messages)
    sampling = Sampling(max_tokens=request.max_tokens, temperature=request.temperature)
    return ChatCall(request.model, turns, sampling)


def _last(answer: GuardedAnswer) -> ChatResponse:
    last = ChatResponse(finish_reason=answer.end.finish_reason, version_id=answer.version_id)
    usage = answer.end.usage
    if usage is not None:
        last.usage.CopyFrom(
            TokenUsage(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)
        )
    return last
