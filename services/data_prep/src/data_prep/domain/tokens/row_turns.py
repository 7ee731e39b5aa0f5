"""Rows as the turns that a chat template takes."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from service_kit.errors import InvalidInputError
from tokenization.conversations import Conversation
from tokenization.tool_turns import Function, FunctionCall, Turn


def conversations_of(rows: pa.RecordBatch) -> list[Conversation | InvalidInputError]:
    """Each row of `ROWS`, or what is wrong with its tools."""
    names = ("roles", "contents", "extras", "tools", "rejected")
    return [
        _conversation(*row)
        for row in zip(*(rows.column(n).to_pylist() for n in names), strict=True)
    ]


def _conversation(
    roles: Sequence[str],
    contents: Sequence[str],
    extras: Sequence[str | None],
    tools: str | None,
    rejected: str | None,
) -> Conversation | InvalidInputError:
    turns: list[Turn] = [
        {"role": role, "content": content} for role, content in zip(roles, contents, strict=True)
    ]
    try:
        for turn, extra in zip(turns, extras, strict=True):
            if extra is not None:
                _add_extra(turn, json.loads(extra))
        functions = _functions(json.loads(tools)) if tools is not None else ()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return InvalidInputError(f"tools are not as OpenAI writes them: {error!r}")
    return Conversation(turns, functions, rejected)


def _add_extra(turn: Turn, extra: dict[str, Any]) -> None:
    """What a turn has beside its text; a name means nothing to chat templates."""
    if calls := extra.get("tool_calls"):
        turn["tool_calls"] = [_call(call) for call in calls]
    if call_id := extra.get("tool_call_id"):
        turn["tool_call_id"] = call_id


def _call(call: dict[str, Any]) -> FunctionCall:
    function = call["function"]
    arguments = function.get("arguments", "{}")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {"id": call.get("id", ""), "name": function["name"], "arguments": arguments}


def _functions(tools: Iterable[dict[str, Any]]) -> list[Function]:
    found = (tool.get("function", tool) for tool in tools)
    return [
        {
            "name": function["name"],
            "description": function.get("description") or "",
            "parameters": function.get("parameters") or {"type": "object", "properties": {}},
        }
        for function in found
    ]
