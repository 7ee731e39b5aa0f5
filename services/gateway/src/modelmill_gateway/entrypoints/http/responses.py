"""OpenAI's responses, as plain ASGI like chat: nothing of them is kept."""

from typing import Any

from modelmill_gateway.entrypoints.bodies.response_body import ResponseRequest, parse_response
from modelmill_gateway.entrypoints.http.gate import Receive, Scope, Send
from modelmill_gateway.entrypoints.http.text_replies import (
    Answers,
    send_json,
    text_stream,
    while_listening,
    whole_body,
)
from modelmill_gateway.entrypoints.views.response_events import ResponseEvents


class ResponsesRoute:
    """POST /v1/responses."""

    def __init__(self, answer_chat: Answers) -> None:
        self._answer_chat = answer_chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generation with it."""
        asked = parse_response(await whole_body(receive))
        reply = self._stream if asked.stream else self._whole
        await while_listening(receive, reply(asked, scope["state"], send))

    async def _whole(self, asked: ResponseRequest, state: dict[str, Any], send: Send) -> None:
        request_id = state["request_id"]
        response = ResponseEvents(asked, request_id)
        answering = self._answer_chat(asked.call, state["caller"], request_id=request_id)
        async with answering as answers:
            response.answers = answers
            (said,) = await answers.whole()
        end = said.end or answers.end
        response.more(said)
        response.finish(end)
        await send_json(send, response.whole(end), answers)

    async def _stream(self, asked: ResponseRequest, state: dict[str, Any], send: Send) -> None:
        request_id = state["request_id"]
        response = ResponseEvents(asked, request_id)
        async with text_stream(send, request_id, done=b"", failed=response.failed) as stream:
            answering = self._answer_chat(asked.call, state["caller"], request_id=request_id)
            async with answering as answers:
                response.answers = answers
                await stream.open(answers)
                await stream.write(answers, [response])
            stream.tail = stream.last_end
