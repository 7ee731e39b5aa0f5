"""modelmill.inference.v1 over gRPC: unpack, call the use case, pack. No rules live here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import grpc
from modelmill.common.v1.chat_pb2 import ChatMessage, TokenUsage, ToolCall
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from modelmill_tokenization import Turn

from modelmill_inference.admit_requests import EngineQueues, QueueLoad
from modelmill_inference.answer_writer import AnswerEnd, AnswerPart, TokenProbability
from modelmill_inference.calibrate_cascade import (
    CalibrateCascade,
    CalibrateCommand,
    CalibrationExample,
)
from modelmill_inference.cascade_text import CascadeText
from modelmill_inference.count_tokens import CountTokens
from modelmill_inference.domain.sampling import OutputConstraint, SamplingOptions
from modelmill_inference.embed_texts import EmbedCommand, EmbedTexts
from modelmill_inference.generate_text import GenerateCommand, GenerateText
from modelmill_inference.lease_version import ServedVersion, VersionPool
from modelmill_inference.memory_budget import MemoryBudget, MemoryState
from modelmill_inference.render_prompt import Prompt, functions_of
from modelmill_inference.resolve_alias import AliasResolver
from modelmill_inference.score_texts import ScoreCommand, ScoreTexts

Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer(pb_grpc.InferenceServiceServicer):
    """Generates text from model versions, and says which ones are loaded."""

    def __init__(
        self,
        versions: VersionPool,
        admissions: EngineQueues,
        names: AliasResolver,
        memory: MemoryBudget,
    ) -> None:
        self._names = names
        self._admissions = admissions
        self._memory = memory
        self._generate_text = GenerateText(versions, admissions)
        self._cascade_text = CascadeText(self._generate_text)
        self._calibrate_cascade = CalibrateCascade(self._generate_text)
        self._score_texts = ScoreTexts(versions, admissions)
        self._embed_texts = EmbedTexts(versions, admissions)
        self._count_tokens = CountTokens(versions)
        self._versions = versions

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        target = self._names.resolve_model(
            request.tenant, request.model, request.fallback_version_id
        )
        command = _command(request, target.version_id, context)
        if target.cascade is None:
            answer = self._generate_text(command)
        else:
            answer = self._cascade_text(command, target.cascade)
        is_first = True
        async with aclosing(answer) as parts:
            async for part in parts:
                yield _response(part, is_first=is_first)
                is_first = False

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:
        command = ScoreCommand(
            tenant=request.tenant,
            version_id=self._names.resolve_model(request.tenant, request.model).version_id,
            prompt=_prompt(request),
            continuations=tuple(request.continuations),
            deadline=_deadline(context),
        )
        scored = await self._score_texts(command)
        rows = zip(scored.scores, scored.tokens, strict=True)
        return pb.ScoreResponse(
            scores=[
                pb.ContinuationScore(
                    log_likelihood=score.log_likelihood, tokens=tokens, is_greedy=score.is_greedy
                )
                for score, tokens in rows
            ],
            version_id=scored.version_id,
            usage=TokenUsage(prompt_tokens=scored.prompt_tokens + sum(scored.tokens)),
        )

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        target = self._names.resolve_model(
            request.tenant, request.model, request.fallback_version_id
        )
        command = EmbedCommand(
            tenant=request.tenant,
            version_id=target.version_id,
            texts=tuple(request.texts),
            deadline=_deadline(context),
        )
        embedded = await self._embed_texts(command)
        return pb.EmbedResponse(
            embeddings=[pb.Embedding(values=vector) for vector in embedded.vectors],
            version_id=embedded.version_id,
            usage=TokenUsage(prompt_tokens=embedded.tokens),
        )

    async def CountTokens(
        self, request: pb.CountTokensRequest, context: Context
    ) -> pb.CountTokensResponse:
        target = self._names.resolve_model(
            request.tenant, request.model, request.fallback_version_id
        )
        counted = await self._count_tokens(
            request.tenant, target.version_id, _prompt(request), _deadline(context)
        )
        return pb.CountTokensResponse(prompt_tokens=counted.tokens, version_id=counted.version_id)

    async def LoadModel(
        self, request: pb.LoadModelRequest, context: Context
    ) -> pb.LoadModelResponse:
        was_loaded = self._versions.is_loaded(request.version_id)
        async with self._versions.lease(request.tenant, request.version_id) as version:
            return pb.LoadModelResponse(
                engine=version.engine_name,
                load_seconds=0.0 if was_loaded else version.load_seconds,
            )

    async def CalibrateCascade(
        self, request: pb.CalibrateCascadeRequest, context: Context
    ) -> pb.CalibrateCascadeResponse:
        small, large = (
            self._names.resolve_model(request.tenant, name).version_id
            for name in (request.small, request.large)
        )
        command = CalibrateCommand(
            tenant=request.tenant,
            small=small,
            large=large,
            questions=tuple(CalibrationExample(_prompt(it), it.answer) for it in request.examples),
            max_loss=request.max_loss,
            max_new_tokens=request.max_new_tokens,
        )
        return pb.CalibrateCascadeResponse(**asdict(await self._calibrate_cascade(command)))

    async def ListServing(
        self, request: pb.ListServingRequest, context: Context
    ) -> pb.ListServingResponse:
        memory = await self._memory.state()
        return pb.ListServingResponse(
            models=[
                _served(served, self._admissions.of(served.loaded).load, memory)
                for served in self._versions.serving()
            ],
            memory=pb.ServingMemory(
                limit_bytes=memory.limits.memory_bytes,
                reserved_bytes=sum(memory.held_bytes.values()),
                room_bytes=max(0, memory.room_bytes),
                max_versions=memory.limits.versions or 0,
            ),
        )


def _served(served: ServedVersion, load: QueueLoad, memory: MemoryState) -> pb.ServedModel:
    return pb.ServedModel(
        version_id=served.version_id,
        engine=served.engine_name,
        in_flight=served.in_flight,
        max_in_flight=served.max_in_flight,
        sequences=load.sequences,
        max_sequences=load.limits.sequences,
        waiting=load.waiting,
        max_waiting=load.limits.waiting,
        tokens=load.tokens,
        max_tokens=load.limits.tokens,
        memory_bytes=memory.held_bytes.get(served.version_id, 0),
    )


def _deadline(context: Context) -> float | None:
    seconds = context.time_remaining()
    return None if seconds is None else asyncio.get_running_loop().time() + seconds


def _command(request: pb.GenerateRequest, version_id: str, context: Context) -> GenerateCommand:
    options = request.options
    return GenerateCommand(
        tenant=request.tenant,
        version_id=version_id,
        prompt=_prompt(request),
        options=SamplingOptions(
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            top_p=options.top_p or 1.0,
            top_k=options.top_k,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            repetition_penalty=options.repetition_penalty or 1.0,
            stop=tuple(options.stop),
            seed=options.seed if options.HasField("seed") else None,
            logprobs=options.logprobs if options.HasField("logprobs") else None,
            constraint=_constraint(options.constraint),
            answers=request.answers or 1,
        ),
        deadline=_deadline(context),
    )


def _prompt(
    request: pb.GenerateRequest | pb.ScoreRequest | pb.CountTokensRequest | pb.CascadeExample,
) -> Prompt:
    if request.WhichOneof("prompt") != "conversation":
        return Prompt(None, request.text)
    conversation = request.conversation
    tools = [(tool.name, tool.description, tool.parameters_schema) for tool in conversation.tools]
    return Prompt(
        tuple(map(_message, conversation.messages)),
        tools=functions_of(tools),
        tool_choice=conversation.tool_choice or "auto",
    )


def _message(message: ChatMessage) -> Turn:
    turn = Turn(role=message.role, content=message.content)
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _constraint(constraint: pb.Constraint) -> OutputConstraint | None:
    match constraint.WhichOneof("form"):
        case "json_schema":
            return OutputConstraint("json_schema", constraint.json_schema)
        case "regex":
            return OutputConstraint("regex", constraint.regex)
        case "choice":
            return OutputConstraint("choice", choices=tuple(constraint.choice.texts))
        case None:
            return None


def _response(part: AnswerPart, *, is_first: bool) -> pb.GenerateResponse:
    return pb.GenerateResponse(
        version_id=part.version_id if is_first else "",
        prompt_tokens=part.prompt_tokens if is_first else 0,
        completion_tokens=part.tokens,
        text_delta=part.text,
        end=None if part.end is None else _end(part.end),
        index=part.index,
        logprobs=map(_logprob, part.logprobs),
        tool_calls=[
            ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in part.calls
        ],
    )


def _logprob(token: TokenProbability) -> pb.TokenLogprob:
    return pb.TokenLogprob(
        token=token.token,
        logprob=token.logprob,
        alternatives=[
            pb.TokenAlternative(token=name, logprob=logprob) for name, logprob in token.alternatives
        ],
    )


def _end(end: AnswerEnd) -> pb.GenerationEnd:
    return pb.GenerationEnd(
        finish_reason=end.finish_reason,
        usage=TokenUsage(
            prompt_tokens=end.prompt_tokens,
            completion_tokens=end.completion_tokens,
            accepted_prediction_tokens=end.accepted_tokens,
        ),
        version_id=end.version_id,
        first_token_seconds=end.first_token_seconds,
        exact=end.exact,
        stop_text=end.stop_text,
        cascade=None if end.cascade is None else pb.CascadePath(**asdict(end.cascade)),
    )
