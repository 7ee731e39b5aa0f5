"""OpenAI's responses, as plain ASGI like chat: nothing of them is kept."""

from modelmill_gateway.answers.answer_chat import AnswerChat
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.http.middleware import Receive, Scope, Send
from modelmill_gateway.entrypoints.http.request_head import whole_body
from modelmill_gateway.entrypoints.http.requests import context_of
from modelmill_gateway.entrypoints.http.response_events import ResponseEvents
from modelmill_gateway.entrypoints.http.text_replies import send_json, text_stream, while_listening
from modelmill_gateway.entrypoints.schemas.responses import (
    Response,
    ResponseRequest,
    parse_response,
)
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers


class ResponsesRoute:
    """POST /v1/responses."""

    def __init__(self, answer_chat: AnswerChat) -> None:
        self._answer_chat = answer_chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generation with it."""
        asked = parse_response(await whole_body(receive))
        reply = self._stream if asked.stream else self._whole
        await while_listening(receive, reply(asked, context_of(scope), send))

    async def _whole(self, asked: ResponseRequest, request: RequestContext, send: Send) -> None:
        await send_json(send, *await self.response(asked, request))

    async def response(
        self, asked: ResponseRequest, request: RequestContext
    ) -> tuple[Response, FilteredAnswers]:
        """The whole response as OpenAI shows it."""
        response = ResponseEvents(asked, request.request_id)
        async with self._answer_chat(asked.call, request) as answers:
            response.answers = answers
            (said,) = await answers.whole()
        end = said.end or answers.end
        response.more(said)
        response.finish(end)
        return response.whole(end), answers

    async def _stream(self, asked: ResponseRequest, request: RequestContext, send: Send) -> None:
        response = ResponseEvents(asked, request.request_id)
        async with text_stream(send, request, done=b"", failed=response.failed) as stream:
            async with self._answer_chat(asked.call, request) as answers:
                response.answers = answers
                await stream.open(answers)
                await stream.write(answers, [response])
            stream.tail = stream.last_end
