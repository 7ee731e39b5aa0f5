"""Conversations as OpenAI writes them in JSON, as the turns and functions that templates take."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from modelmill_tokenization.tool_turns import Function, FunctionCall, Turn


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
        turn["tool_calls"] = [_call(call) for call in calls]
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


def _call(call: Mapping[str, Any]) -> FunctionCall:
    function = call["function"]
    arguments = function.get("arguments", "{}")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {"id": call.get("id", ""), "name": function["name"], "arguments": arguments}
