"""Turns of Anthropic's conversations: what their blocks say, in the order in which they say it."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field

from gateway.domain.chat import ToolCall, Turn
from gateway.entrypoints.bodies.parsing import OpenBody
from gateway.entrypoints.bodies.tool_body import FunctionName

FAILED = "Error: "
"""Stands before what a tool said that failed: turns have no other place for that fact."""


def _of_known_types(*known: str) -> BeforeValidator:
    """Refuses blocks of other types by their name; a string stands for one block of text."""

    def check(content: Any) -> Any:
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        if isinstance(content, list):
            types = [block.get("type") for block in content if isinstance(block, dict)]
            wrong = [kind for kind in types if kind not in known]
            if wrong:
                said = ", ".join(dict.fromkeys(str(kind)[:64] for kind in wrong))
                raise ValueError(f"blocks of type {said} are not supported here")
        return content

    return BeforeValidator(check)


def _text_or_blocks(schema: dict[str, Any]) -> None:
    """Says in the API document that a text may stand for a block of it."""
    branches = schema.pop("anyOf", None) or [
        {key: schema.pop(key) for key in ("type", "items") if key in schema}
    ]
    schema["anyOf"] = [{"type": "string"}, *branches]


class TextBlock(OpenBody):
    """Some text."""

    type: Literal["text"]
    text: str


Texts = Annotated[
    list[TextBlock], _of_known_types("text"), Field(json_schema_extra=_text_or_blocks)
]


class ToolUseBlock(OpenBody):
    """A call that the assistant made."""

    type: Literal["tool_use"]
    id: str = Field(min_length=1, max_length=256)
    name: FunctionName
    input: dict[str, Any]

    @property
    def call(self) -> ToolCall:
        """As the domain has it."""
        return ToolCall(self.id, self.name, json.dumps(self.input, ensure_ascii=False))


class ToolResultBlock(OpenBody):
    """What a call came to."""

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1, max_length=256)
    content: Texts = Field(default_factory=list)
    is_error: bool | None = None

    @property
    def turn(self) -> Turn:
        """As the domain has it."""
        said = joined(self.content)
        return Turn("tool", f"{FAILED}{said}" if self.is_error else said, (), self.tool_use_id)


class SystemTurn(OpenBody):
    """Instructions between turns."""

    role: Literal["system"]
    content: Texts

    @property
    def turns(self) -> Iterator[Turn]:
        """As the domain has it."""
        yield Turn("system", joined(self.content))


class UserTurn(OpenBody):
    """What the user says, and what tools said."""

    role: Literal["user"]
    content: Annotated[
        list[Annotated[TextBlock | ToolResultBlock, Discriminator("type")]],
        _of_known_types("text", "tool_result"),
        Field(min_length=1, json_schema_extra=_text_or_blocks),
    ]

    @property
    def turns(self) -> Iterator[Turn]:
        """Texts that follow each other are one turn; each result is one of its own."""
        for is_text, blocks in groupby(self.content, lambda block: isinstance(block, TextBlock)):
            if is_text:
                yield Turn("user", joined([it for it in blocks if isinstance(it, TextBlock)]))
            else:
                yield from (it.turn for it in blocks if isinstance(it, ToolResultBlock))


class AssistantTurn(OpenBody):
    """What the model said, and which calls it made."""

    role: Literal["assistant"]
    content: Annotated[
        list[Annotated[TextBlock | ToolUseBlock, Discriminator("type")]],
        _of_known_types("text", "tool_use"),
        Field(min_length=1, json_schema_extra=_text_or_blocks),
    ]

    @property
    def turns(self) -> Iterator[Turn]:
        """As the domain has it."""
        calls = tuple(it.call for it in self.content if isinstance(it, ToolUseBlock))
        texts = [it for it in self.content if isinstance(it, TextBlock)]
        yield Turn("assistant", joined(texts), calls)


AnyTurn = Annotated[
    UserTurn | AssistantTurn | SystemTurn,
    Discriminator("role"),
]


def joined(blocks: Sequence[TextBlock]) -> str:
    """Blocks of text as one text."""
    return "\n".join(block.text for block in blocks)


def turns_of(messages: Sequence[AnyTurn]) -> Iterator[Turn]:
    """The conversation; turns of one speaker that follow each other are one."""
    turns = [turn for message in messages for turn in message.turns]
    for role, run in groupby(turns, lambda turn: turn.role):
        if role == "tool":
            yield from run
        else:
            same = list(run)
            content = "\n".join(turn.content for turn in same)
            yield Turn(role, content, tuple(call for turn in same for call in turn.calls))
