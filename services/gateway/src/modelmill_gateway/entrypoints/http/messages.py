"""Anthropic's conversations: answers in the shape of its Messages API, whole and as events."""

import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Any

from starlette.types import Send

from modelmill_gateway.answers.answer_chat import CountPrompt
from modelmill_gateway.domain.chat import ChatCall, End, Piece, ToolCall
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.domain.routes import Dialect
from modelmill_gateway.domain.verdict import ModerationResult
from modelmill_gateway.entrypoints.http.errors import Headers, Refusal, error_body
from modelmill_gateway.entrypoints.http.text_replies import (
    JsonRoute,
    TextRoute,
    answer_headers,
    text_stream,
)
from modelmill_gateway.entrypoints.schemas.messages import (
    CountedTokens,
    Message,
    MessageHead,
    MessagesRequest,
    MessageStop,
    MessageText,
    MessageToolUse,
    StopDetails,
    StopReason,
    WholeMessageUsage,
    parse_counted,
    parse_messages,
)
from modelmill_gateway.entrypoints.schemas.texts import cascade_field
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers


class CountTokensRoute(JsonRoute[ChatCall]):
    """POST /v1/messages/count_tokens."""

    def __init__(self, count_prompt: CountPrompt) -> None:
        self._count_prompt = count_prompt

    def parse(self, body: bytes) -> ChatCall:
        return parse_counted(body)

    async def whole(
        self, asked: ChatCall, request: RequestContext
    ) -> tuple[CountedTokens, Headers]:
        """The count alone."""
        counted = await self._count_prompt(asked, request)
        return CountedTokens(input_tokens=counted.tokens), [
            (b"x-model-version", counted.version_id.encode()),
            (b"x-model-variant", counted.variant.encode()),
        ]


class MessagesRoute(TextRoute[MessagesRequest]):
    """POST /v1/messages."""

    def parse(self, body: bytes) -> MessagesRequest:
        return parse_messages(body)

    async def whole(
        self, asked: MessagesRequest, request: RequestContext
    ) -> tuple[Message, Headers]:
        """The whole message."""
        async with self._answer_chat(asked.call, request) as answers:
            (said,) = await answers.whole()
        message = whole_message(request.request_id, asked.call.model, answers, said)
        return message, answer_headers(answers, whole=True)

    async def stream(self, asked: MessagesRequest, request: RequestContext, send: Send) -> None:
        """Its blocks as events."""
        async with text_stream(send, request, done=b"", failed=failed_event) as stream:
            async with self._answer_chat(asked.call, request) as answers:
                await stream.open(answers)
                events = MessageEvents(request.request_id, asked.call.model, answers)
                await stream.write(answers, [events])
            stream.tail = stream.last_end


STOP_REASONS: dict[str, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_MARK = "\0text\0"
_escape: Callable[[str], str] = encode_basestring_ascii


def whole_message(request_id: str, model: str, answers: FilteredAnswers, said: Piece) -> Message:
    """A whole answer."""
    blocks: list[MessageText | MessageToolUse] = []
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    blocks += [{**_tool_use(call), "input": json.loads(call.arguments)} for call in said.calls]
    end = said.end or answers.end
    return {
        **_opened(request_id, model),
        "content": blocks,
        **_ended(end, answers),
        "usage": _usage(end, answers),
        **cascade_field(end),
    }


class MessageEvents:
    """The events of one answer as bytes ready to be sent: blocks of text and of calls, in order."""

    def __init__(self, request_id: str, model: str, answers: FilteredAnswers) -> None:
        self._request_id = request_id
        self._model = model
        self._answers = answers
        self._index = -1
        self._in_text = False
        self._prefix = self._suffix = b""

    def opening(self) -> bytes:
        """That an answer begins, and how long its prompt is."""
        message: Message = {
            **_opened(self._request_id, self._model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": _usage(End(""), self._answers),
            **cascade_field(None),
        }
        return event("message_start", message=message) + event("ping")

    def more(self, piece: Piece) -> bytes:
        """What is new of it."""
        said = b""
        if piece.text:
            if not self._in_text:
                said = self._open_text()
            said += self._prefix + _escape(piece.text).encode() + self._suffix
        for call in piece.calls:
            said += self._close_text() + self._call(call)
        return said

    def finish(self, end: End) -> bytes:
        """How it ended, and what it cost."""
        delta = _ended(end, self._answers)
        cost = {**_usage(end, self._answers)}
        del cost["service_tier"]
        ended = event("message_delta", delta=delta, usage=cost, **cascade_field(end))
        return self._close_text() + ended + event("message_stop")

    def _open_text(self) -> bytes:
        self._in_text = True
        self._index += 1
        block = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": _MARK}
        rendered = event("content_block_delta", index=self._index, delta=delta)
        self._prefix, self._suffix = rendered.split(_escape(_MARK).encode())
        return event("content_block_start", index=self._index, content_block=block)

    def _close_text(self) -> bytes:
        if not self._in_text:
            return b""
        self._in_text = False
        return event("content_block_stop", index=self._index)

    def _call(self, call: ToolCall) -> bytes:
        self._index += 1
        delta = {"type": "input_json_delta", "partial_json": call.arguments}
        return (
            event("content_block_start", index=self._index, content_block=_tool_use(call))
            + event("content_block_delta", index=self._index, delta=delta)
            + event("content_block_stop", index=self._index)
        )


def event(kind: str, **fields: Any) -> bytes:
    """An event of that kind."""
    written = json.dumps({"type": kind, **fields}, separators=(",", ":"))
    return f"event: {kind}\ndata: {written}\n\n".encode()


def failed_event(refusal: Refusal, request_id: str) -> bytes:
    """An error after the first byte: the last event."""
    return b"event: error\ndata: " + error_body(refusal, request_id, Dialect.ANTHROPIC) + b"\n\n"


def _opened(request_id: str, model: str) -> MessageHead:
    return {
        "id": f"msg_{request_id.removeprefix('req-')}",
        "type": "message",
        "role": "assistant",
        "model": model,
    }


def _ended(end: End, answers: FilteredAnswers) -> MessageStop:
    by_stop = end.finish_reason == "stop" and end.stop_text
    is_refusal = end.finish_reason == "content_filter"
    return {
        "stop_reason": "stop_sequence" if by_stop else STOP_REASONS[end.finish_reason],
        "stop_sequence": end.stop_text if by_stop else None,
        "stop_details": _refusal(answers.outputs[0]) if is_refusal else None,
    }


def _refusal(judged: ModerationResult) -> StopDetails:
    """Why the policy ended it: rules and categories, never text."""
    named = dict.fromkeys(f"{hit.rule_id} ({hit.category})" for hit in judged.hits)
    explanation = f"the answer breaks the content policy: {', '.join(named)}"
    return {"type": "refusal", "category": None, "explanation": explanation}


def _usage(end: End, answers: FilteredAnswers) -> WholeMessageUsage:
    """What it cost; of an answer that was stopped, as far as its engine had counted."""
    (generated,) = answers.generated_tokens
    return {
        "input_tokens": end.usage.prompt_tokens if end.usage else answers.prompt_tokens,
        "output_tokens": end.usage.completion_tokens if end.usage else generated,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "service_tier": "standard",
    }


def _tool_use(call: ToolCall) -> MessageToolUse:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
