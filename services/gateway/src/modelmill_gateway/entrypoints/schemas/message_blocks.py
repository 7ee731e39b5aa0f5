"""Turns of Anthropic's conversations: what their blocks say, in the order in which they say it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field

from modelmill_gateway.domain.chat import ToolCall, Turn
from modelmill_gateway.entrypoints.schemas.parsing import Many, OpenBody, or_text
from modelmill_gateway.entrypoints.schemas.texts import FunctionName

FAILED = "Error: "
"""Stands before what a tool said that failed: turns have no other place for that fact."""


Neutral = Mapping[str, tuple[Any, ...]]
"""By names of fields, values that change no answer."""


class Part(OpenBody):
    """A part of a body that may have fields which are not served."""

    NEUTRAL: ClassVar[Neutral] = {}
    """Fields that would change the answer and are not served, with the values that would not. What
    is in neither list, as `cache_control`, changes nothing in an answer here and is ignored."""

    def unserved(self, at: str = "") -> Iterator[str]:
        """The path of each field that asks for what is not served; `at` is the part's own."""
        extra = self.model_extra
        if extra:
            for name, values in self.NEUTRAL.items():
                if extra.get(name) not in values:
                    yield f"{at}{name}"


def unserved_among(parts: Sequence[Part], at: str) -> Iterator[str]:
    """The same of a list of parts."""
    for index, part in enumerate(parts):
        yield from part.unserved(f"{at}.{index}.")


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


class TextBlock(Part):
    """Text block."""

    NEUTRAL: ClassVar[Neutral] = {"citations": (None, [])}

    type: Literal["text"]
    text: str


Texts = Annotated[Many[TextBlock], _of_known_types("text"), Field(json_schema_extra=or_text)]


class ToolUseBlock(Part):
    """Tool call that the assistant made."""

    NEUTRAL: ClassVar[Neutral] = {"caller": (None, {"type": "direct"}), "toolset_name": (None,)}

    type: Literal["tool_use"]
    id: str = Field(min_length=1, max_length=256)
    name: FunctionName
    input: dict[str, Any]

    @property
    def call(self) -> ToolCall:
        """As the domain has it."""
        return ToolCall(self.id, self.name, json.dumps(self.input, ensure_ascii=False))


class ToolResultBlock(Part):
    """Result of a tool call."""

    NEUTRAL: ClassVar[Neutral] = {"toolset_name": (None,)}

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1, max_length=256)
    content: Texts = Field(default_factory=list)
    is_error: bool | None = None

    @property
    def turn(self) -> Turn:
        """As the domain has it."""
        said = joined(self.content)
        return Turn("tool", f"{FAILED}{said}" if self.is_error else said, (), self.tool_use_id)

    def unserved(self, at: str = "") -> Iterator[str]:
        """Its own, and those of its texts."""
        yield from super().unserved(at)
        yield from unserved_among(self.content, f"{at}content")


class Spoken(Part):
    """A turn that has content."""

    content: Sequence[Part]

    def unserved(self, at: str = "") -> Iterator[str]:
        """Its own, and those of its blocks."""
        yield from super().unserved(at)
        yield from unserved_among(self.content, f"{at}content")


class SystemTurn(Spoken):
    """Instructions between turns."""

    NEUTRAL: ClassVar[Neutral] = {
        "clear_at": (None, "never"),
        "output_config": (None, {}, {"effort": None}),
    }

    role: Literal["system"]
    content: Texts

    @property
    def turns(self) -> Iterator[Turn]:
        """As the domain has it."""
        yield Turn("system", joined(self.content))


class UserTurn(Spoken):
    """User message: text and tool results."""

    role: Literal["user"]
    content: Annotated[
        Many[Annotated[TextBlock | ToolResultBlock, Discriminator("type")]],
        _of_known_types("text", "tool_result"),
        Field(min_length=1, json_schema_extra=or_text),
    ]

    @property
    def turns(self) -> Iterator[Turn]:
        """Texts that follow each other are one turn; each result is one of its own."""
        for is_text, blocks in groupby(self.content, lambda block: isinstance(block, TextBlock)):
            if is_text:
                yield Turn("user", joined([it for it in blocks if isinstance(it, TextBlock)]))
            else:
                yield from (it.turn for it in blocks if isinstance(it, ToolResultBlock))


class AssistantTurn(Spoken):
    """Assistant message: text and tool calls."""

    role: Literal["assistant"]
    content: Annotated[
        Many[Annotated[TextBlock | ToolUseBlock, Discriminator("type")]],
        _of_known_types("text", "tool_use"),
        Field(min_length=1, json_schema_extra=or_text),
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
