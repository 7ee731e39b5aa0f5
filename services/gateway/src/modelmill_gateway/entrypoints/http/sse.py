"""OpenAI's streams of chunks: everything but the text is rendered once per answer."""

import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Any

from modelmill_gateway.domain.chat import End, Piece
from modelmill_gateway.entrypoints.schemas.moderations import ModerationField
from modelmill_gateway.entrypoints.schemas.texts import (
    ParallelLogprobs,
    Usage,
    answer_end,
    chat_logprobs,
)
from modelmill_gateway.entrypoints.schemas.tools import tool_call

DONE = b"data: [DONE]\n\n"
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
