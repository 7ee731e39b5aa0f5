"""An exchange: a request and its answers, as the policy let both pass."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

from modelmill_gateway.domain.chat import ChatCall, End, Piece, ToolCall, Turn

Message = Mapping[str, Any]
USER_DIGEST_BYTES = 16
NO_SEAL = "nothing can be logged here: the operator must set GATEWAY_WEBHOOK_KEY"
"""Why nobody may ask for a log."""


@dataclass(frozen=True)
class ExchangeTexts:
    """What was said, in the shape in which OpenAI's clients say it."""

    messages: Sequence[Message]
    answers: Sequence[Message]
    """One for each answer of the request."""
    tools: Sequence[Message] = ()

    def to_bytes(self) -> bytes:
        """As it is sealed."""
        fields = {"messages": self.messages, "answers": self.answers, "tools": self.tools}
        return json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")

    @classmethod
    def of_bytes(cls, content: bytes) -> Self:
        """Again."""
        fields = json.loads(content.decode("utf-8", "surrogatepass"))
        return cls(fields["messages"], fields["answers"], fields["tools"])


@dataclass(frozen=True)
class Exchange:
    """What is kept of a request."""

    request_id: str
    tenant: str
    user: str
    """Whose request it is: as the request says, else who made it."""
    key_id: str
    model: str
    version_id: str
    variant: str
    finish_reason: str
    at: float
    """Seconds since 1970."""
    texts: ExchangeTexts


def texts_of(call: ChatCall, shown: Sequence[Piece], ends: Sequence[End]) -> ExchangeTexts:
    """What was said, of a call as the policy let it pass and of all that was shown."""
    answers = []
    for number, end in enumerate(ends):
        own = [piece for piece in shown if piece.answer == number]
        text = "".join(piece.text for piece in own)
        calls = tuple(each for piece in own for each in piece.calls)
        answer = _message(Turn("assistant", text, calls))
        answers.append(answer | {"finish_reason": end.finish_reason})
    tools = [
        {"name": it.name, "description": it.description, "parameters": it.parameters}
        for it in call.tools
    ]
    return ExchangeTexts([_message(turn) for turn in call.turns], answers, tools)


def user_digest(secret: bytes, tenant: str, user: str) -> bytes:
    """Digest of a tenant's user, which tells nobody without the secret who that is."""
    place = f"{tenant}\0{user}".encode("utf-8", "surrogatepass")
    return blake2b(place, digest_size=USER_DIGEST_BYTES, key=secret).digest()


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.calls:
        message["tool_calls"] = [_call(each) for each in turn.calls]
    if turn.tool_call_id:
        message["tool_call_id"] = turn.tool_call_id
    return message


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
