"""Conversations, as plain ASGI: nothing stands between a token and the socket."""

import time

from modelmill_gateway.answers.answer_chat import AnswerChat
from modelmill_gateway.domain.chat import ChatCall, Piece
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.http.middleware import Receive, Scope, Send
from modelmill_gateway.entrypoints.http.request_head import whole_body
from modelmill_gateway.entrypoints.http.requests import context_of
from modelmill_gateway.entrypoints.http.sse import ChatChunks
from modelmill_gateway.entrypoints.http.text_replies import send_json, text_stream, while_listening
from modelmill_gateway.entrypoints.schemas.chat import (
    AssistantMessage,
    ChatChoice,
    ChatCompletion,
    ChatRequest,
    GeneratedText,
    parse_chat,
    parse_generate,
)
from modelmill_gateway.entrypoints.schemas.moderations import moderation_field
from modelmill_gateway.entrypoints.schemas.texts import (
    answer_end,
    cascade_field,
    chat_logprobs,
    usage_of,
)
from modelmill_gateway.entrypoints.schemas.tools import tool_call
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers


class ChatRoute:
    """POST /v1/chat/completions."""

    def __init__(self, answer_chat: AnswerChat) -> None:
        self._answer_chat = answer_chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generation with it."""
        asked = parse_chat(await whole_body(receive))
        reply = self._stream if asked.stream else self._whole
        await while_listening(receive, reply(asked, context_of(scope), send))

    async def _whole(self, asked: ChatRequest, request: RequestContext, send: Send) -> None:
        await send_json(send, *await self.completion(asked, request))

    async def completion(
        self, asked: ChatRequest, request: RequestContext
    ) -> tuple[ChatCompletion, FilteredAnswers]:
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
        return body, answers

    async def _stream(self, asked: ChatRequest, request: RequestContext, send: Send) -> None:
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


class GenerateRoute:
    """POST /generate."""

    def __init__(self, answer_chat: AnswerChat, default_model: str) -> None:
        self._answer_chat = answer_chat
        self._default_model = default_model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generation with it."""
        call = parse_generate(await whole_body(receive), self._default_model)
        await while_listening(receive, self._whole(call, context_of(scope), send))

    async def _whole(self, call: ChatCall, request: RequestContext, send: Send) -> None:
        async with self._answer_chat(call, request) as answers:
            (answer,) = await answers.whole()
        body: GeneratedText = {
            "text": answer.text,
            **cascade_field(answer.end),
            **moderation_field(answers),
        }
        await send_json(send, body, answers)


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
