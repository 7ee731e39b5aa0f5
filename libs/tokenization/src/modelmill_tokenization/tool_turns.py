"""Functions that a model may call, and calls that it made, as chat templates read them."""

import json
from collections.abc import Mapping, Sequence
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
