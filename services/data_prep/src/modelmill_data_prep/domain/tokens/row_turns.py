"""Converts rows to conversations for chat templates."""

import json
from collections.abc import Sequence

import pyarrow as pa
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.conversations import Conversation
from modelmill_tokenization.tool_turns import Turn
from modelmill_tokenization.written_turns import add_calls, functions_of


def conversations_of(rows: pa.RecordBatch) -> list[Conversation | InvalidInputError]:
    """Conversation of each row of `ROWS`, or the error of its tools."""
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
                add_calls(turn, json.loads(extra))
        functions = functions_of(json.loads(tools)) if tools is not None else ()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return InvalidInputError(f"tools are not in OpenAI's format: {error!r}")
    return Conversation(turns, functions, rejected)
