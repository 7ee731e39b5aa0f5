"""Conversation turns, tool definitions and tool calls, as chat templates read them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from modelmill_service_kit.errors import InvalidInputError


class FunctionCall(TypedDict):
    """A call that the assistant made."""

    id: str
    name: str
    arguments: str
    """A JSON object as text."""


class Turn(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str
    tool_calls: NotRequired[Sequence[FunctionCall]]
    """Calls of an assistant's turn."""
    tool_call_id: NotRequired[str]
    """In a turn of role "tool": the call that it answers."""


class Function(TypedDict):
    """A function that the model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of its arguments."""


@dataclass(frozen=True, slots=True)
class TurnShape:
    """In what shape a template wants turns with calls."""

    arguments_as_text: bool = False
    """It joins arguments to its text instead of writing them as JSON."""

    empty_as_none: bool = False
    """It tells a turn of calls by its content, which must be none."""


def message_of(turn: Turn, before: Sequence[Turn], shape: TurnShape) -> dict[str, Any]:
    """The turn as Hugging Face's templates read it.

    Args:
        before: the turns before it, among which a tool's turn finds the name of its function.

    Raises:
        InvalidInputError: arguments of a call are no JSON object.
    """
    message: dict[str, Any] = {"role": turn["role"], "content": turn["content"]}
    if calls := turn.get("tool_calls"):
        message["tool_calls"] = [_call(call, as_text=shape.arguments_as_text) for call in calls]
        if shape.empty_as_none and not turn["content"]:
            message["content"] = None
    if call_id := turn.get("tool_call_id"):
        message["tool_call_id"] = call_id
        name = _name_of(call_id, before)
        if name is not None:
            message["name"] = name
    return message


def tool_of(function: Function) -> dict[str, Any]:
    """The function as Hugging Face's templates read it."""
    return {"type": "function", "function": dict(function)}


def _call(call: FunctionCall, *, as_text: bool) -> dict[str, Any]:
    try:
        arguments = json.loads(call["arguments"] or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"arguments of a call of {call['name']}: {error}") from None
    if not isinstance(arguments, dict):
        raise InvalidInputError(f"arguments of a call of {call['name']} must be a JSON object")
    given = call["arguments"] or "{}"
    function = {"name": call["name"], "arguments": given if as_text else arguments}
    return {"type": "function", "id": call["id"], "function": function}


def _name_of(call_id: str, before: Sequence[Turn]) -> str | None:
    calls = (call for turn in reversed(before) for call in turn.get("tool_calls", ()))
    return next((call["name"] for call in calls if call["id"] == call_id), None)


def turns_of(messages: Iterable[Mapping[str, Any]]) -> list[Turn]:
    """The turns; what a template has no use for is left out.

    Raises:
        KeyError, TypeError, AttributeError: a message is not as OpenAI writes it.
    """
    turns: list[Turn] = []
    for message in messages:
        turn: Turn = {"role": message["role"], "content": message["content"] or ""}
        add_calls(turn, message)
        turns.append(turn)
    return turns


def add_calls(turn: Turn, message: Mapping[str, Any]) -> None:
    """What a turn has beside its text; a name means nothing to chat templates.

    Raises:
        KeyError, TypeError, AttributeError: a call is not as OpenAI writes it.
    """
    if calls := message.get("tool_calls"):
        turn["tool_calls"] = [_written_call(call) for call in calls]
    if call_id := message.get("tool_call_id"):
        turn["tool_call_id"] = call_id


def functions_of(tools: Iterable[Mapping[str, Any]]) -> list[Function]:
    """The functions that a model may call.

    Raises:
        KeyError, TypeError, AttributeError: a tool is not as OpenAI writes it.
    """
    found = (tool.get("function", tool) for tool in tools)
    return [
        {
            "name": function["name"],
            "description": function.get("description") or "",
            "parameters": function.get("parameters") or {"type": "object", "properties": {}},
        }
        for function in found
    ]


def _written_call(call: Mapping[str, Any]) -> FunctionCall:
    function = call["function"]
    arguments = function.get("arguments", "{}")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {"id": call.get("id", ""), "name": function["name"], "arguments": arguments}
