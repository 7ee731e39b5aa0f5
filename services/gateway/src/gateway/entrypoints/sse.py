"""OpenAI's stream of chat chunks: everything but the text is rendered once per answer."""

import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Any

DONE = b"data: [DONE]\n\n"
_MARK = "\0text\0"

_escape: Callable[[str], str] = encode_basestring_ascii
"""Text as a JSON string. ASCII only: some clients split lines at characters like U+2028."""


class ChunkTemplate:
    """The chunks of one answer, as bytes ready to be sent.

    Args:
        with_usage: the caller asked for usage, so that every chunk has the field, null but for one.
    """

    def __init__(
        self, *, completion_id: str, created: int, model: str, fingerprint: str, with_usage: bool
    ) -> None:
        self._common: dict[str, Any] = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "system_fingerprint": fingerprint,
        }
        self._with_usage = with_usage
        rendered = self._chunk({"content": _MARK}, None)
        prefix, suffix = rendered.split(_escape(_MARK).encode())
        self._prefix, self._suffix = prefix, suffix

    def role(self) -> bytes:
        """The first chunk, which says who speaks."""
        return self._chunk({"role": "assistant", "content": ""}, None)

    def text(self, delta: str) -> bytes:
        """A chunk of text."""
        return self._prefix + _escape(delta).encode() + self._suffix

    def finish(self, reason: str) -> bytes:
        """The chunk that says how it ended."""
        return self._chunk({}, reason)

    def usage(self, usage: dict[str, Any]) -> bytes:
        """The last chunk before the end, when usage was asked for."""
        return _event({**self._common, "choices": [], "usage": usage})

    def _chunk(self, delta: dict[str, str], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk = {**self._common, "choices": [choice]}
        return _event(chunk | {"usage": None} if self._with_usage else chunk)


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def error_event(body: bytes) -> bytes:
    """An error after the first byte: the event that ends the stream instead of [DONE]."""
    return b"data: " + body + b"\n\n"
