"""Texts that are continued as they are, as plain ASGI like chat, one answer for each prompt."""

import asyncio
import time
from dataclasses import replace

from modelmill_gateway.answers.answer_chat import AnswerChat
from modelmill_gateway.domain.chat import ChatCall, Piece
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.http.middleware import Receive, Scope, Send
from modelmill_gateway.entrypoints.http.request_head import whole_body
from modelmill_gateway.entrypoints.http.requests import context_of
from modelmill_gateway.entrypoints.http.sse import CompletionChunks
from modelmill_gateway.entrypoints.http.text_replies import send_json, text_stream, while_listening
from modelmill_gateway.entrypoints.schemas.completions import (
    Completion,
    CompletionChoice,
    CompletionRequest,
    parse_completion,
)
from modelmill_gateway.entrypoints.schemas.moderations import moderation_field
from modelmill_gateway.entrypoints.schemas.texts import ParallelLogprobs, answer_end, usage_of
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers


class CompletionRoute:
    """POST /v1/completions."""

    def __init__(self, answer_chat: AnswerChat) -> None:
        self._answer_chat = answer_chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generations with it."""
        asked = parse_completion(await whole_body(receive))
        reply = self._stream if asked.stream else self._whole
        await while_listening(receive, reply(asked, context_of(scope), send))

    async def _whole(self, asked: CompletionRequest, request: RequestContext, send: Send) -> None:
        await send_json(send, *await self.completion(asked, request))

    async def completion(
        self, asked: CompletionRequest, request: RequestContext
    ) -> tuple[Completion, FilteredAnswers]:
        """Every prompt's answers as OpenAI shows them, with the first prompt's own."""
        answered = await self._all(asked, request)
        pieces = [piece for whole, _ in answered for piece in whole]
        answers = [each for _, each in answered]
        body: Completion = {
            "id": _completion_id(request.request_id),
            "object": "text_completion",
            "created": int(time.time()),
            "model": asked.model,
            "system_fingerprint": answers[0].version_id,
            "choices": [_choice(piece, index) for index, piece in enumerate(pieces)],
            "usage": usage_of(each.end for each in answers),
            **moderation_field(*answers),
        }
        return body, answers[0]

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

    async def _stream(self, asked: CompletionRequest, request: RequestContext, send: Send) -> None:
        """One prompt's answers after the other's: those that wait cost the engine nothing."""
        common = {
            "answer_id": _completion_id(request.request_id),
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


def _choice(answer: Piece, index: int) -> CompletionChoice:
    return {
        "text": answer.text,
        "index": index,
        "logprobs": ParallelLogprobs().of(answer.logprobs) if answer.logprobs else None,
        **answer_end(answer.end),
    }


def _completion_id(request_id: str) -> str:
    return f"cmpl-{request_id.removeprefix('req-')}"


def _part(request: RequestContext, index: int) -> RequestContext:
    """Each prompt's usage is recorded by itself, and records of one id count once."""
    return replace(request, request_id=f"{request.request_id}-{index}") if index else request
