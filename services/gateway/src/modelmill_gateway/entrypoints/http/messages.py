"""Anthropic's conversations, as plain ASGI like chat, by the same use case."""

from modelmill_gateway.answers.answer_chat import AnswerChat, CountPrompt
from modelmill_gateway.domain.chat import ChatCall
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.http.message_events import (
    MessageEvents,
    failed_event,
    whole_message,
)
from modelmill_gateway.entrypoints.http.middleware import Receive, Scope, Send
from modelmill_gateway.entrypoints.http.request_head import whole_body
from modelmill_gateway.entrypoints.http.requests import context_of
from modelmill_gateway.entrypoints.http.text_replies import (
    send_fields,
    send_json,
    text_stream,
    while_listening,
)
from modelmill_gateway.entrypoints.schemas.messages import (
    CountedTokens,
    MessagesRequest,
    parse_counted,
    parse_messages,
)


class CountTokensRoute:
    """POST /v1/messages/count_tokens."""

    def __init__(self, count_prompt: CountPrompt) -> None:
        self._count_prompt = count_prompt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = parse_counted(await whole_body(receive))
        await while_listening(receive, self._reply(call, context_of(scope), send))

    async def _reply(self, call: ChatCall, request: RequestContext, send: Send) -> None:
        counted = await self._count_prompt(call, request)
        headers = [
            (b"x-model-version", counted.version_id.encode()),
            (b"x-model-variant", counted.variant.encode()),
        ]
        await send_fields(send, CountedTokens(input_tokens=counted.tokens), headers)


class MessagesRoute:
    """POST /v1/messages."""

    def __init__(self, answer_chat: AnswerChat) -> None:
        self._answer_chat = answer_chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generation with it."""
        asked = parse_messages(await whole_body(receive))
        reply = self._stream if asked.stream else self._whole
        await while_listening(receive, reply(asked, context_of(scope), send))

    async def _whole(self, asked: MessagesRequest, request: RequestContext, send: Send) -> None:
        async with self._answer_chat(asked.call, request) as answers:
            (said,) = await answers.whole()
        message = whole_message(request.request_id, asked.call.model, answers, said)
        await send_json(send, message, answers)

    async def _stream(self, asked: MessagesRequest, request: RequestContext, send: Send) -> None:
        async with text_stream(send, request, done=b"", failed=failed_event) as stream:
            async with self._answer_chat(asked.call, request) as answers:
                await stream.open(answers)
                events = MessageEvents(request.request_id, asked.call.model, answers)
                await stream.write(answers, [events])
            stream.tail = stream.last_end
