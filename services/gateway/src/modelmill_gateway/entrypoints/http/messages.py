"""Anthropic's conversations, as plain ASGI like chat, by the same use case."""

from typing import Any

from modelmill_gateway.answers.admitted_texts import AdmittedCounts
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.chat import ChatCall
from modelmill_gateway.entrypoints.bodies.message_body import (
    MessagesRequest,
    parse_counted,
    parse_messages,
)
from modelmill_gateway.entrypoints.http.gate import Receive, Scope, Send
from modelmill_gateway.entrypoints.http.text_replies import (
    Answers,
    send_fields,
    send_json,
    text_stream,
    while_listening,
    whole_body,
)
from modelmill_gateway.entrypoints.views.message_views import (
    MessageEvents,
    failed_event,
    message_view,
)


class CountTokensRoute:
    """POST /v1/messages/count_tokens."""

    def __init__(self, count_prompt: AdmittedCounts) -> None:
        self._count_prompt = count_prompt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = parse_counted(await whole_body(receive))
        await while_listening(receive, self._reply(call, scope["state"]["caller"], send))

    async def _reply(self, call: ChatCall, caller: Caller, send: Send) -> None:
        counted = await self._count_prompt(call, caller)
        headers = [
            (b"x-model-version", counted.version_id.encode()),
            (b"x-model-variant", counted.variant.encode()),
        ]
        await send_fields(send, {"input_tokens": counted.tokens}, headers)


class MessagesRoute:
    """POST /v1/messages."""

    def __init__(self, answer_chat: Answers) -> None:
        self._answer_chat = answer_chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generation with it."""
        asked = parse_messages(await whole_body(receive))
        reply = self._stream if asked.stream else self._whole
        await while_listening(receive, reply(asked, scope["state"], send))

    async def _whole(self, asked: MessagesRequest, state: dict[str, Any], send: Send) -> None:
        request_id = state["request_id"]
        answering = self._answer_chat(asked.call, state["caller"], request_id=request_id)
        async with answering as answers:
            (said,) = await answers.whole()
        await send_json(send, message_view(request_id, asked.call.model, answers, said), answers)

    async def _stream(self, asked: MessagesRequest, state: dict[str, Any], send: Send) -> None:
        request_id = state["request_id"]
        async with text_stream(send, request_id, done=b"", failed=failed_event) as stream:
            answering = self._answer_chat(asked.call, state["caller"], request_id=request_id)
            async with answering as answers:
                await stream.open(answers)
                await stream.write(answers, [MessageEvents(request_id, asked.call.model, answers)])
            stream.tail = stream.last_end
