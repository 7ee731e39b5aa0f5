"""OpenAI's responses, whole or as items and numbered events; nothing of them is kept."""

import json
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Any, Literal

from starlette.types import Send

from modelmill_gateway.domain.chat import End, Piece, TokenLogprob, ToolCall
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.http.errors import Headers, Refusal, error_fields
from modelmill_gateway.entrypoints.http.text_replies import TextRoute, answer_headers, text_stream
from modelmill_gateway.entrypoints.schemas.responses import (
    ItemStatus,
    OutputCall,
    OutputMessage,
    OutputText,
    Response,
    ResponseRequest,
    parse_response,
    repeated,
    response_usage,
    text_part,
    verdicts_field,
)
from modelmill_gateway.entrypoints.schemas.texts import cascade_field, chat_logprobs
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers


class ResponsesRoute(TextRoute[ResponseRequest]):
    """POST /v1/responses."""

    def parse(self, body: bytes) -> ResponseRequest:
        return parse_response(body)

    async def whole(
        self, asked: ResponseRequest, request: RequestContext
    ) -> tuple[Response, Headers]:
        """The whole response as OpenAI shows it."""
        response = ResponseEvents(asked, request.request_id)
        async with self._answer_chat(asked.call, request) as answers:
            response.answers = answers
            (said,) = await answers.whole()
        end = said.end or answers.end
        response.more(said)
        response.finish(end)
        return response.whole(end), answer_headers(answers, whole=True)

    async def stream(self, asked: ResponseRequest, request: RequestContext, send: Send) -> None:
        """Its items as events."""
        response = ResponseEvents(asked, request.request_id)
        async with text_stream(send, request, done=b"", failed=response.failed) as stream:
            async with self._answer_chat(asked.call, request) as answers:
                response.answers = answers
                await stream.open(answers)
                await stream.write(answers, [response])
            stream.tail = stream.last_end


INCOMPLETE: dict[str, Literal["max_output_tokens", "content_filter"]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
_escape: Callable[[str], str] = encode_basestring_ascii


class ResponseEvents:
    """One response while it comes: its items, and the events that tell of them."""

    def __init__(self, asked: ResponseRequest, request_id: str) -> None:
        self.answers: FilteredAnswers | None = None
        """Known once they have begun."""
        self._model = asked.call.model
        self._repeated = repeated(asked.body)
        self._key = request_id.removeprefix("req-")
        self._created = int(time.time())
        self._number = 0
        self._items: list[OutputMessage | OutputCall] = []
        self._message: _OpenMessage | None = None

    def opening(self) -> bytes:
        """That a response begins."""
        begun = self._response("in_progress")
        return self._event("response.created", response=begun) + self._event(
            "response.in_progress", response=begun
        )

    def more(self, piece: Piece) -> bytes:
        """What is new of it."""
        said = b""
        if piece.text or piece.logprobs:
            if self._message is None:
                said = self._open_message()
            said += self._delta(piece)
        for call in piece.calls:
            said += self._close_message("completed") + self._call(call)
        return said

    def finish(self, end: End) -> bytes:
        """How it ended, with all of it."""
        reason = INCOMPLETE.get(end.finish_reason)
        status: ItemStatus = "incomplete" if reason else "completed"
        said = b""
        if self._message is None and not self._items:
            said = self._open_message()
        said += self._close_message(status)
        return said + self._event(f"response.{status}", response=self.whole(end))

    def whole(self, end: End) -> Response:
        """The response, once it has ended."""
        reason = INCOMPLETE.get(end.finish_reason)
        return {
            **self._response("incomplete" if reason else "completed"),
            "incomplete_details": {"reason": reason} if reason else None,
            "completed_at": None if reason else int(time.time()),
            "usage": response_usage(end),
            **cascade_field(end),
            **verdicts_field(self.answers),
        }

    def failed(self, refusal: Refusal, request_id: str) -> bytes:
        """An error after the first byte: it is told, and the response has failed by it."""
        said = error_fields(refusal, request_id)
        told = {"code": said["code"], "message": said["message"], "param": said["param"]}
        response = self._response("failed")
        is_limit = said["type"] == "rate_limit_error"
        response["error"] = {
            "code": "rate_limit_exceeded" if is_limit else "server_error",
            "message": said["message"],
        }
        return self._event("error", **told) + self._event("response.failed", response=response)

    def _open_message(self) -> bytes:
        place = len(self._items)
        self._message = _OpenMessage(f"msg_{self._key}_{place}", place)
        at = {"item_id": self._message.id, "output_index": place, "content_index": 0}
        empty = self._message.view("in_progress", [])
        return self._event("response.output_item.added", output_index=place, item=empty) + (
            self._event("response.content_part.added", **at, part=text_part("", []))
        )

    def _delta(self, piece: Piece) -> bytes:
        assert self._message is not None
        self._message.add(piece)
        logprobs = chat_logprobs(piece.logprobs)["content"] if piece.logprobs else []
        number, self._number = self._number, self._number + 1
        return b"".join(
            (
                self._message.prefix,
                str(number).encode(),
                b',"logprobs":',
                json.dumps(logprobs, separators=(",", ":")).encode() if logprobs else b"[]",
                b',"delta":',
                _escape(piece.text).encode(),
                b"}\n\n",
            )
        )

    def _close_message(self, status: ItemStatus) -> bytes:
        message, self._message = self._message, None
        if message is None:
            return b""
        text, logprobs = message.text, chat_logprobs(message.logprobs)["content"]
        part = text_part(text, logprobs)
        item = message.view(status, [part])
        self._items.append(item)
        at = {"item_id": message.id, "output_index": message.place, "content_index": 0}
        return (
            self._event("response.output_text.done", **at, text=text, logprobs=logprobs)
            + self._event("response.content_part.done", **at, part=part)
            + self._event("response.output_item.done", output_index=message.place, item=item)
        )

    def _call(self, call: ToolCall) -> bytes:
        place = len(self._items)
        item: OutputCall = {
            "id": f"fc_{self._key}_{place}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        self._items.append(item)
        at = {"item_id": item["id"], "output_index": place}
        begun = {**item, "status": "in_progress", "arguments": ""}
        kind, said = "response.function_call_arguments", call.arguments
        return (
            self._event("response.output_item.added", output_index=place, item=begun)
            + self._event(f"{kind}.delta", **at, delta=said)
            + self._event(f"{kind}.done", **at, name=call.name, arguments=said)
            + self._event("response.output_item.done", output_index=place, item=item)
        )

    def _response(
        self, status: Literal["in_progress", "completed", "incomplete", "failed"]
    ) -> Response:
        return {
            "id": f"resp_{self._key}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "model": self._model,
            "output": list(self._items),
            "error": None,
            "incomplete_details": None,
            "completed_at": None,
            "usage": None,
            **self._repeated,
            **cascade_field(None),
            **verdicts_field(None),
        }

    def _event(self, kind: str, **fields: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        told = {"type": kind, "sequence_number": number, **fields}
        return f"event: {kind}\ndata: {json.dumps(told, separators=(',', ':'))}\n\n".encode()


class _OpenMessage:
    """A message that is being said."""

    def __init__(self, message_id: str, place: int) -> None:
        self.id = message_id
        self.place = place
        self.logprobs: list[TokenLogprob] = []
        self._texts: list[str] = []
        kind = "response.output_text.delta"
        at = {"type": kind, "item_id": message_id, "output_index": place, "content_index": 0}
        begun = json.dumps(at, separators=(",", ":"))[:-1]
        self.prefix = f'event: {kind}\ndata: {begun},"sequence_number":'.encode()

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self._texts)

    def add(self, piece: Piece) -> None:
        self._texts.append(piece.text)
        self.logprobs += piece.logprobs

    def view(self, status: ItemStatus, content: list[OutputText]) -> OutputMessage:
        return {
            "id": self.id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }
