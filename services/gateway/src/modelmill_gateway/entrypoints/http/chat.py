"""Conversations, prompts and texts to be continued, in OpenAI's shapes.

Of streams of chunks everything but the text is rendered once per answer.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from json.encoder import encode_basestring_ascii
from typing import Any

from starlette.types import Send

from modelmill_gateway.answers.answer_chat import AnswerChat
from modelmill_gateway.domain.chat import ChatCall, End, Piece
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.http.errors import Headers
from modelmill_gateway.entrypoints.http.text_replies import (
    JsonRoute,
    TextRoute,
    answer_headers,
    text_stream,
)
from modelmill_gateway.entrypoints.schemas.chat import (
    AssistantMessage,
    ChatChoice,
    ChatCompletion,
    ChatRequest,
    GeneratedText,
    parse_chat,
    parse_generate,
)
from modelmill_gateway.entrypoints.schemas.completions import (
    Completion,
    CompletionChoice,
    CompletionRequest,
    parse_completion,
)
from modelmill_gateway.entrypoints.schemas.moderations import ModerationField, moderation_field
from modelmill_gateway.entrypoints.schemas.texts import (
    ParallelLogprobs,
    Usage,
    answer_end,
    cascade_field,
    chat_logprobs,
    tool_call,
    usage_of,
)
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers


class ChatRoute(TextRoute[ChatRequest]):
    """POST /v1/chat/completions."""

    def parse(self, body: bytes) -> ChatRequest:
        return parse_chat(body)

    async def whole(
        self, asked: ChatRequest, request: RequestContext
    ) -> tuple[ChatCompletion, Headers]:
        """The whole answer as OpenAI shows it."""
        async with self._answer_chat(asked.call, request) as answers:
            choices = [_choice(piece) for piece in await answers.whole()]
        body: ChatCompletion = {
            "id": _completion_id(request.request_id),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": asked.call.model,
            "system_fingerprint": answers.version_id,
            "choices": choices,
            "usage": usage_of([answers.end]),
            **moderation_field(answers),
        }
        return body, answer_headers(answers, whole=True)

    async def stream(self, asked: ChatRequest, request: RequestContext, send: Send) -> None:
        """A chunk for each piece of each answer."""
        async with text_stream(send, request) as stream:
            async with self._answer_chat(asked.call, request) as answers:
                chunks = [
                    ChatChunks(
                        answer_id=_completion_id(request.request_id),
                        created=int(time.time()),
                        model=asked.call.model,
                        fingerprint=answers.version_id,
                        with_usage=asked.include_usage,
                        index=index,
                    )
                    for index in range(asked.call.answers)
                ]
                await stream.open(answers)
                await stream.write(answers, chunks)
            asked_for = asked.call.moderation is not None
            stream.tail = chunks[0].moderation(moderation_field(answers), asked_for=asked_for)
            stream.tail += stream.last_end
            usage = usage_of([answers.end])
            if asked.include_usage and usage is not None:
                stream.tail += chunks[0].usage(usage)


class GenerateRoute(JsonRoute[ChatCall]):
    """POST /generate."""

    def __init__(self, answer_chat: AnswerChat, default_model: str) -> None:
        self._answer_chat = answer_chat
        self._default_model = default_model

    def parse(self, body: bytes) -> ChatCall:
        return parse_generate(body, self._default_model)

    async def whole(
        self, asked: ChatCall, request: RequestContext
    ) -> tuple[GeneratedText, Headers]:
        """The text alone."""
        async with self._answer_chat(asked, request) as answers:
            (answer,) = await answers.whole()
        body: GeneratedText = {
            "text": answer.text,
            **cascade_field(answer.end),
            **moderation_field(answers),
        }
        return body, answer_headers(answers, whole=True)


def _choice(answer: Piece) -> ChatChoice:
    message: AssistantMessage = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.calls:
        message["content"] = answer.text or None
        message["tool_calls"] = [tool_call(call) for call in answer.calls]
    return {
        "index": answer.answer,
        "message": message,
        "logprobs": chat_logprobs(answer.logprobs) if answer.logprobs else None,
        **answer_end(answer.end),
    }


def _completion_id(request_id: str) -> str:
    return f"chatcmpl-{request_id.removeprefix('req-')}"


class CompletionRoute(TextRoute[CompletionRequest]):
    """POST /v1/completions: texts that are continued as they are, answers for each prompt."""

    def parse(self, body: bytes) -> CompletionRequest:
        return parse_completion(body)

    async def whole(
        self, asked: CompletionRequest, request: RequestContext
    ) -> tuple[Completion, Headers]:
        """Every prompt's answers as OpenAI shows them, with the first prompt's own."""
        answered = await self._all(asked, request)
        pieces = [piece for whole, _ in answered for piece in whole]
        answers = [each for _, each in answered]
        body: Completion = {
            "id": _text_id(request.request_id),
            "object": "text_completion",
            "created": int(time.time()),
            "model": asked.model,
            "system_fingerprint": answers[0].version_id,
            "choices": [_text_choice(piece, index) for index, piece in enumerate(pieces)],
            "usage": usage_of(each.end for each in answers),
            **moderation_field(*answers),
        }
        return body, answer_headers(answers[0], whole=True)

    async def _all(
        self, asked: CompletionRequest, request: RequestContext
    ) -> list[tuple[list[Piece], FilteredAnswers]]:
        """Every prompt's answer, generated side by side; the first refusal ends all of them."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._one(call, _part(request, index)))
                    for index, call in enumerate(asked.calls)
                ]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _one(
        self, call: ChatCall, request: RequestContext
    ) -> tuple[list[Piece], FilteredAnswers]:
        async with self._answer_chat(call, request) as answers:
            return await answers.whole(), answers

    async def stream(self, asked: CompletionRequest, request: RequestContext, send: Send) -> None:
        """One prompt's answers after the other's: those that wait cost the engine nothing."""
        common = {
            "answer_id": _text_id(request.request_id),
            "created": int(time.time()),
            "model": asked.model,
            "with_usage": asked.include_usage,
        }
        ends = []
        async with text_stream(send, request) as stream:
            for number, call in enumerate(asked.calls):
                async with self._answer_chat(call, _part(request, number)) as answers:
                    chunks = [
                        CompletionChunks(
                            **common,
                            fingerprint=answers.version_id,
                            index=number * call.answers + index,
                        )
                        for index in range(call.answers)
                    ]
                    await stream.open(answers)
                    await stream.write(answers, chunks)
                await stream.tell(chunks[0].moderation(moderation_field(answers), asked_for=False))
                await stream.finish()
                ends.append(answers.end)
            usage = usage_of(ends)
            if asked.include_usage and usage is not None:
                stream.tail = chunks[0].usage(usage)


def _text_choice(answer: Piece, index: int) -> CompletionChoice:
    return {
        "text": answer.text,
        "index": index,
        "logprobs": ParallelLogprobs().of(answer.logprobs) if answer.logprobs else None,
        **answer_end(answer.end),
    }


def _text_id(request_id: str) -> str:
    return f"cmpl-{request_id.removeprefix('req-')}"


def _part(request: RequestContext, index: int) -> RequestContext:
    """Each prompt's usage is recorded by itself, and records of one id count once."""
    return replace(request, request_id=f"{request.request_id}-{index}") if index else request


_MARK = "\0text\0"

_escape: Callable[[str], str] = encode_basestring_ascii
"""Text as a JSON string. ASCII only: some clients split lines at characters like U+2028."""


class ChatChunks:
    """The chunks of one answer to a conversation, as bytes ready to be sent.

    Args:
        index: which of the request's answers this is.
        with_usage: the caller asked for usage, so that every chunk has the field, null but for one.
    """

    kind = "chat.completion.chunk"

    def __init__(
        self,
        *,
        answer_id: str,
        created: int,
        model: str,
        fingerprint: str,
        with_usage: bool,
        index: int = 0,
    ) -> None:
        self._common: dict[str, Any] = {
            "id": answer_id,
            "object": self.kind,
            "created": created,
            "model": model,
            "system_fingerprint": fingerprint,
        }
        self._index = index
        self._with_usage = with_usage
        self._calls = 0
        """Calls that were told."""
        rendered = self._chunk(self._choice(Piece(_MARK)))
        prefix, suffix = rendered.split(_escape(_MARK).encode())
        self._prefix, self._suffix = prefix, suffix

    def opening(self) -> bytes:
        """The first chunk, which says who speaks."""
        delta = {"role": "assistant", "content": ""}
        return self._chunk({**self._choice(Piece("")), "delta": delta})

    def more(self, piece: Piece) -> bytes:
        """A chunk of what is new; how it ended is told apart."""
        if piece.logprobs or piece.calls:
            return self._chunk(self._choice(piece))
        return self._prefix + _escape(piece.text).encode() + self._suffix

    def finish(self, end: End) -> bytes:
        """The chunk that says how it ended."""
        return self._chunk({**self._choice(Piece("")), **answer_end(end)})

    def usage(self, usage: Usage) -> bytes:
        """The last chunk before the end, when usage was asked for."""
        return _event({**self._common, "choices": [], "usage": usage})

    def moderation(self, field: ModerationField, *, asked_for: bool) -> bytes:
        """The chunk with the verdicts; none when `field` is empty.

        OpenAI's has no choices. Who did not ask for it may read the first choice of every chunk.
        """
        if not field:
            return b""
        return self._chunk(*([] if asked_for else [self._choice(Piece(""))]), **field)

    def _choice(self, piece: Piece) -> dict[str, Any]:
        delta: dict[str, Any] = {"content": piece.text} if piece.text else {}
        if piece.calls:
            delta["tool_calls"] = [
                {"index": self._calls + place, **tool_call(call)}
                for place, call in enumerate(piece.calls)
            ]
            self._calls += len(piece.calls)
        return {
            "index": self._index,
            "delta": delta,
            "logprobs": chat_logprobs(piece.logprobs) if piece.logprobs else None,
            "finish_reason": None,
        }

    def _chunk(self, *choices: dict[str, Any], **fields: Any) -> bytes:
        chunk = {**self._common, "choices": choices, **fields}
        return _event(chunk | {"usage": None} if self._with_usage else chunk)


class CompletionChunks(ChatChunks):
    """The chunks of a continued text."""

    kind = "text_completion"

    def __init__(self, **common: Any) -> None:
        self._logprobs = ParallelLogprobs()
        super().__init__(**common)

    def opening(self) -> bytes:
        """Nothing: nobody speaks here."""
        return b""

    def _choice(self, piece: Piece) -> dict[str, Any]:
        return {
            "text": piece.text,
            "index": self._index,
            "logprobs": self._logprobs.of(piece.logprobs) if piece.logprobs else None,
            "finish_reason": None,
        }


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"
