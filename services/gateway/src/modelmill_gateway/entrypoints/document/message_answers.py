"""Shapes and examples of Anthropic's Messages API."""

from typing import Any, Literal

from modelmill_gateway.entrypoints.document.examples import MODEL, QUESTION
from modelmill_gateway.entrypoints.document.shape import Answer
from modelmill_gateway.entrypoints.document.text_answers import CascadePath

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


class MessageText(Answer):
    """Text block of the model."""

    type: Literal["text"]
    text: str


class MessageToolUse(Answer):
    """Tool use that the model asks for. What a policy masks is masked in its input."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class StopDetails(Answer):
    """Stop details: the rules that ended the answer, and their categories."""

    type: Literal["refusal"]
    category: None
    explanation: str


class MessageUsage(Answer):
    """Token usage as the engine counted it; of a stopped answer, as far as it had counted."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: Literal[0]
    cache_read_input_tokens: Literal[0]


class WholeMessageUsage(MessageUsage):
    """Token usage, with the only service tier."""

    service_tier: Literal["standard"]


class Message(Answer):
    """Message; `x-model-version` names the version that answered."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[MessageText | MessageToolUse]
    stop_reason: StopReason | None
    stop_sequence: str | None
    stop_details: StopDetails | None
    usage: WholeMessageUsage
    cascade: CascadePath | None = None


class MessageEvent(Answer):
    """One event of a streamed answer. In order: `message_start` with an empty `message`, `ping`, of
    each block `content_block_start`, `content_block_delta` and `content_block_stop`,
    `message_delta` with the end and the cost, `message_stop`; an `error` ends it early."""

    type: Literal[
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    ]
    message: Message | None = None
    index: int = 0
    content_block: MessageText | MessageToolUse | None = None
    delta: dict[str, Any] | None = None
    usage: MessageUsage | None = None
    cascade: CascadePath | None = None
    error: dict[str, Any] | None = None
    request_id: str = ""


class CountedTokens(Answer):
    """Token count of a prompt, the chat template included."""

    input_tokens: int


COUNTED = {"model": MODEL, "messages": [QUESTION], "system": "Name the kind."}
BODY = {**COUNTED, "max_tokens": 16}
MESSAGE = {
    "id": "msg_0b8f",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [{"type": "text", "text": "beverage"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {
        "input_tokens": 21,
        "output_tokens": 2,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "service_tier": "standard",
    },
}
