"""The inference service: text as it is generated, and versions brought up."""

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import grpc
from modelmill.common.v1 import chat_pb2
from modelmill.inference.v1.inference_service_pb2 import (
    Choices,
    Conversation,
    CountTokensRequest,
    EmbedRequest,
    GenerateRequest,
    GenerateResponse,
    GenerationEnd,
    LoadModelRequest,
    SamplingOptions,
)
from modelmill.inference.v1.inference_service_pb2 import Constraint as ConstraintMessage
from modelmill.inference.v1.inference_service_pb2 import TokenLogprob as TokenLogprobMessage
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill_service_kit.errors import (
    DiskFullError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
)
from modelmill_service_kit.grpc_client import domain_errors

from modelmill_gateway.domain.chat import (
    CascadePath,
    ChatCall,
    Constraint,
    CountedPrompt,
    Embedded,
    End,
    Piece,
    Sampling,
    TokenLogprob,
    ToolCall,
    Turn,
    Usage,
)
from modelmill_gateway.domain.errors import BadRequestError, FullError, ModelNotFoundError
from modelmill_gateway.domain.models import AskedModel

PEER = "inference"
UINT64_MASK = 2**64 - 1
SAME_OPTIONS = (
    *("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty"),
    *("repetition_penalty", "stop", "logprobs"),
)
"""Options of sampling that inference calls the same."""


class GrpcEngines:
    """Engines behind the inference service's gRPC port."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = InferenceServiceStub(channel)
        self._ending: set[Any] = set()
        """Calls whose answer is complete, and whose status is on its way."""

    @asynccontextmanager
    async def generate(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> AsyncIterator[AsyncIterator[Piece]]:
        """Pieces of the answer; leaving the block, however it is left, frees the engine's slot."""
        request = _request(call, tenant, asked)
        rpc = self._stub.Generate(request, timeout=timeout)
        ended = asyncio.Event()
        try:
            async with aclosing(_pieces(rpc, call, ended)) as pieces:
                yield pieces
        finally:
            self._leave(rpc, ended=ended.is_set())

    def _leave(self, rpc: Any, *, ended: bool) -> None:
        if ended:
            # Not waited for, but not cancelled either: a good answer must not look like a bad call.
            self._ending.add(rpc)
            rpc.add_done_callback(self._ending.discard)
        else:
            rpc.cancel()

    async def embed(
        self, texts: Sequence[str], *, tenant: str, asked: AskedModel, timeout: float
    ) -> Embedded:
        """A vector for each text.

        Raises:
            BadRequestError: a text is too long, or the engine makes no vectors.
            ModelNotFoundError: no engine runs it.
        """
        request = EmbedRequest(
            tenant=tenant,
            model=asked.model,
            fallback_version_id=asked.fallback_version_id,
            texts=texts,
        )
        with _refusals("input"), domain_errors(PEER):
            answer = await self._stub.Embed(request, timeout=timeout)
        vectors = tuple(
            struct.pack(f"<{len(each.values)}f", *each.values) for each in answer.embeddings
        )
        return Embedded(answer.version_id, vectors, answer.usage.prompt_tokens)

    async def count(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> CountedPrompt:
        """How many tokens its prompt has.

        Raises:
            BadRequestError: it is too long, or the model's template does not take it.
            ModelNotFoundError: no engine runs it.
        """
        request = CountTokensRequest(
            tenant=tenant,
            model=asked.model,
            fallback_version_id=asked.fallback_version_id,
            conversation=_conversation(call),
        )
        with _refusals(call.field), domain_errors(PEER):
            counted = await self._stub.CountTokens(request, timeout=timeout)
        return CountedPrompt(counted.version_id, counted.prompt_tokens)

    async def load(self, *, tenant: str, version_id: str, timeout: float) -> None:
        """Return once the version is loaded and warm.

        Raises:
            NotFoundError: no engine can run it.
            PreconditionError: its artifact does not verify, or the engine refused it.
        """
        request = LoadModelRequest(tenant=tenant, version_id=version_id)
        with domain_errors(PEER):
            await self._stub.LoadModel(request, timeout=timeout)


async def _pieces(
    rpc: grpc.aio.UnaryStreamCall[GenerateRequest, GenerateResponse],
    call: ChatCall,
    ended: asyncio.Event,
) -> AsyncGenerator[Piece]:
    left = call.answers
    with _refusals(call.field), domain_errors(PEER):
        async for response in rpc:
            end = _end(response.end) if response.HasField("end") else None
            if end is not None:
                left -= 1
                if not left:
                    ended.set()
            logprobs = tuple(map(_logprob, response.logprobs))
            calls = tuple(ToolCall(it.id, it.name, it.arguments) for it in response.tool_calls)
            yield Piece(
                *(response.text_delta, end, response.index, logprobs, calls),
                version_id=response.version_id,
                prompt_tokens=response.prompt_tokens,
                tokens=response.completion_tokens,
            )


@contextmanager
def _refusals(field: str) -> Iterator[None]:
    """Within the block, what the engine refuses is the caller's to change."""
    try:
        yield
    except NotFoundError as error:
        raise ModelNotFoundError(error.message) from error
    except InvalidInputError as error:
        raise _refused(error, field) from error
    except OverloadedError as error:
        if isinstance(error, DiskFullError):
            raise
        # Its places are everybody's: no quota of this caller's is used up.
        full = FullError(error.message, retry_after_seconds=error.retry_after_seconds)
        raise full.because(error.reason) from error
    except PreconditionError as error:
        if error.reason == "ENGINE_CANNOT":
            raise BadRequestError(error.message, code="engine_cannot") from error
        raise


def _refused(error: InvalidInputError, field: str) -> BadRequestError:
    """The engine's refusal, under OpenAI's code where it is about length; it names the limit."""
    if error.reason == "PROMPT_TOO_LONG":
        # OpenAI's words, by which clients know it.
        errors = [f"This model's maximum context length is exceeded: {it}" for it in error.errors]
        return BadRequestError(errors, param=field, code="context_length_exceeded")
    return BadRequestError(error.errors, code="invalid_request")


def _end(end: GenerationEnd) -> End:
    used = end.usage
    usage = Usage(used.prompt_tokens, used.completion_tokens, used.accepted_prediction_tokens)
    if not end.HasField("cascade"):
        return End(end.finish_reason, usage, stop_text=end.stop_text)
    path = CascadePath(
        version_id=end.version_id,
        escalated=end.cascade.escalated,
        confidence=end.cascade.confidence,
        threshold=end.cascade.threshold,
        spared_tokens=end.cascade.spared_tokens,
        extra_tokens=end.cascade.extra_tokens,
    )
    return End(end.finish_reason, usage, path, end.stop_text)


def _logprob(token: TokenLogprobMessage) -> TokenLogprob:
    alternatives = tuple((other.token, other.logprob) for other in token.alternatives)
    return TokenLogprob(token.token, token.logprob, alternatives)


def _request(call: ChatCall, tenant: str, asked: AskedModel) -> GenerateRequest:
    request = GenerateRequest(
        tenant=tenant,
        model=asked.model,
        fallback_version_id=asked.fallback_version_id,
        options=_options(call.sampling),
        answers=call.answers,
    )
    if call.raw:
        request.text = call.turns[0].content
    else:
        request.conversation.CopyFrom(_conversation(call))
    return request


def _conversation(call: ChatCall) -> Conversation:
    tools = [
        chat_pb2.Tool(
            name=tool.name, description=tool.description, parameters_schema=tool.parameters
        )
        for tool in call.tools
    ]
    choice = call.tool_choice if tools else ""
    return Conversation(messages=map(_message, call.turns), tools=tools, tool_choice=choice)


def _message(turn: Turn) -> chat_pb2.ChatMessage:
    calls = [
        chat_pb2.ToolCall(id=call.id, name=call.name, arguments=call.arguments)
        for call in turn.calls
    ]
    return chat_pb2.ChatMessage(
        role=turn.role, content=turn.content, tool_calls=calls, tool_call_id=turn.tool_call_id
    )


def _options(sampling: Sampling) -> SamplingOptions:
    same = {name: getattr(sampling, name) for name in SAME_OPTIONS}
    options = SamplingOptions(max_new_tokens=sampling.max_tokens, **same)
    if sampling.seed is not None:
        # OpenAI's seeds may be negative; the engine's are 64 bits without a sign.
        options.seed = sampling.seed & UINT64_MASK
    if sampling.constraint is not None:
        options.constraint.CopyFrom(_constraint(sampling.constraint))
    return options


def _constraint(constraint: Constraint) -> ConstraintMessage:
    match constraint.kind:
        case "json_schema":
            return ConstraintMessage(json_schema=constraint.text)
        case "regex":
            return ConstraintMessage(regex=constraint.text)
        case "choice":
            return ConstraintMessage(choice=Choices(texts=constraint.choices))
