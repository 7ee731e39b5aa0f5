"""Items of OpenAI's Responses API that are taken as input: messages, calls and their results."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from modelmill_gateway.domain.chat import ToolCall, Turn
from modelmill_gateway.entrypoints.schemas.parsing import Many, OpenBody, or_text
from modelmill_gateway.entrypoints.schemas.texts import FunctionName

TEXT_PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
"""Types of parts that are text, and the field that has it."""
ITEMS = ("message", "function_call", "function_call_output")


def _plain_text(content: Any) -> Any:
    """Text of a content: a string, or a list of parts of text."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        field = TEXT_PARTS.get(str(kind))
        if field is None:
            raise ValueError(f"parts of type {str(kind)[:64]} are not supported")
        if not isinstance(part.get(field), str):
            raise ValueError(f"a part of type {kind} needs a {field}")
        texts.append(part[field])
    return "\n".join(texts)


def _text_or_parts(schema: dict[str, Any]) -> None:
    """Says in the API document that content may come in parts."""
    kind = schema.pop("type")
    part = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": list(TEXT_PARTS)}},
    }
    schema["anyOf"] = [{"type": kind}, {"type": "array", "items": part}]


PlainText = Annotated[str, BeforeValidator(_plain_text), Field(json_schema_extra=_text_or_parts)]


class MessageItem(OpenBody):
    """Message of a conversation."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: PlainText

    @property
    def turn(self) -> Turn:
        """As the domain has it."""
        return Turn("system" if self.role == "developer" else self.role, self.content)


class CallItem(OpenBody):
    """Tool call that the assistant made."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1, max_length=256)
    name: FunctionName
    arguments: str = Field(description="Arguments: a JSON object as text.")

    @property
    def turn(self) -> Turn:
        """As the domain has it."""
        return Turn("assistant", "", (ToolCall(self.call_id, self.name, self.arguments),))


class CallOutputItem(OpenBody):
    """Result of a tool call."""

    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1, max_length=256)
    output: PlainText

    @property
    def turn(self) -> Turn:
        """As the domain has it."""
        return Turn("tool", self.output, (), self.call_id)


def _type_of(item: Any) -> str:
    # What has no type is a message, as OpenAI has it.
    given = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return str(given or "message")


def _as_items(given: Any) -> Any:
    """A text stands for one message of the user; other items are refused by their type."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    if isinstance(given, list):
        types = [_type_of(item) for item in given if isinstance(item, dict)]
        wrong = dict.fromkeys(kind[:64] for kind in types if kind not in ITEMS)
        if wrong:
            raise ValueError(f"items of type {', '.join(wrong)} are not supported")
    return given


InputItem = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[CallOutputItem, Tag("function_call_output")],
    Discriminator(_type_of),
]
Input = Annotated[
    Many[InputItem],
    BeforeValidator(_as_items),
    Field(min_length=1, json_schema_extra=or_text),
]


def turns_of(items: Sequence[InputItem]) -> Iterator[Turn]:
    """The conversation; what the assistant said and called in a row is one turn of its."""
    for role, run in groupby((item.turn for item in items), lambda turn: turn.role):
        if role != "assistant":
            yield from run
            continue
        same = list(run)
        content = "\n".join(turn.content for turn in same if turn.content)
        yield Turn(role, content, tuple(call for turn in same for call in turn.calls))
