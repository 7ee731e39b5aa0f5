"""Parses and validates messages in OpenAI's format, including tool calls."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from modelmill_data_prep.domain.mapping.mapped_row import RowRefusedError, check_text, encode_json
from modelmill_data_prep.domain.reading.parse_block import parse_json

ROLES = ("system", "user", "assistant", "tool")


class ChatTurn(NamedTuple):
    role: str
    content: str
    """Empty only for an assistant message with tool calls."""

    extra: Mapping[str, Any] | None = None
    """tool_calls, tool_call_id and name, if present."""


def read_messages(messages: Any) -> list[ChatTurn]:
    """Parse messages, given as a list or as JSON in a cell.

    Raises:
        RowRefusedError: A message is malformed, or their order is invalid. The last message may
            have any role.
    """
    messages = from_cell(messages, "messages")
    if not isinstance(messages, list):
        raise RowRefusedError("messages_not_a_list", "messages: not a list")
    turns = [_read_message(message) for message in messages]
    check_order(turns)
    return turns


def from_cell(value: Any, place: str) -> Any:
    """Parse a value that CSV cells hold as JSON; other values are returned unchanged.

    Raises:
        RowRefusedError: The text is not JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError:
        raise RowRefusedError("cell_not_json", f"{place}: not JSON") from None


def read_tools(value: Any) -> str | None:
    """Tool definitions as a JSON list; None without tools.

    Raises:
        RowRefusedError: It is not a list of named functions.
    """
    if value is None or value == "":
        return None
    tools = from_cell(value, "tools")
    if not isinstance(tools, list):
        raise RowRefusedError("tools_not_a_list", "tools: not a list")
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not _is_name(function.get("name")):
            raise RowRefusedError("tool_without_name", "tools: a tool is no function with a name")
    return encode_json(tools, "tools") if tools else None


def written_extras(turns: Sequence[ChatTurn]) -> list[str | None]:
    """Extras of each message as JSON."""
    return [encode_json(turn.extra, "messages: a turn") if turn.extra else None for turn in turns]


def check_order(turns: Sequence[ChatTurn]) -> None:
    """Validate the order of messages.

    Raises:
        RowRefusedError: There are no messages, a system message is not first, the assistant
            precedes the user, or tool calls and tool messages do not match.
    """
    roles = [turn.role for turn in turns]
    if not roles:
        raise RowRefusedError("no_turns", "messages: no turns")
    if "system" in roles[1:]:
        raise RowRefusedError("system_not_first", "messages: a system turn is not the first")
    first = next((role for role in roles if role in ("user", "assistant")), "")
    if first == "assistant" or (not first and "tool" in roles):
        raise RowRefusedError(
            "assistant_before_user", "messages: the assistant speaks before the user"
        )
    _check_calls(turns)


def check_end(turns: Sequence[ChatTurn]) -> None:
    """Require that the last message is the assistant's.

    Raises:
        RowRefusedError: It is not.
    """
    if turns[-1].role != "assistant":
        raise RowRefusedError(
            "last_not_assistant", "messages: the last turn is not the assistant's"
        )


def _check_calls(turns: Sequence[ChatTurn]) -> None:
    open_calls: set[str] = set()
    for turn in turns:
        extra = turn.extra or {}
        if turn.role == "tool":
            if extra["tool_call_id"] not in open_calls:
                raise RowRefusedError(
                    "tool_not_called", "messages: a tool message answers a call that was not made"
                )
            open_calls.discard(extra["tool_call_id"])
        elif open_calls:
            raise RowRefusedError(
                "call_not_answered", "messages: a tool call is followed by no answer of the tool"
            )
        open_calls.update(call["id"] for call in extra.get("tool_calls", ()))


def _read_message(message: Any) -> ChatTurn:
    if not isinstance(message, dict):
        raise RowRefusedError("turn_not_an_object", "messages: a turn is not an object")
    role = message.get("role")
    if role not in ROLES:
        raise RowRefusedError(
            "unknown_role", f"messages: a turn's role is none of {', '.join(ROLES)}"
        )
    extra: dict[str, Any] = {}
    if message.get("tool_calls"):
        if role != "assistant":
            raise RowRefusedError(
                "foreign_call", "messages: another than the assistant calls tools"
            )
        extra["tool_calls"] = [_read_call(call) for call in _list_of_calls(message["tool_calls"])]
    if role == "tool":
        if not _is_name(message.get("tool_call_id")):
            raise RowRefusedError("tool_without_id", "messages: a tool's turn has no tool_call_id")
        extra["tool_call_id"] = message["tool_call_id"]
    if message.get("name") is not None:
        if not _is_name(message["name"]):
            raise RowRefusedError("name_not_text", "messages: a turn's name is not text")
        extra["name"] = message["name"]
    return ChatTurn(role, _content_of(message, "tool_calls" in extra), extra or None)


def _content_of(message: Mapping[str, Any], calls_tools: bool) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_part_text(part) for part in content)
    if calls_tools and content in (None, ""):
        return ""
    return check_text(content, "messages: a turn's content")


def _part_text(part: Any) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        text: str = part["text"]
        return text
    raise RowRefusedError("part_not_text", "messages: a part of a turn's content is not text")


def _list_of_calls(calls: Any) -> list[Any]:
    if not isinstance(calls, list):
        raise RowRefusedError("calls_not_a_list", "messages: tool_calls is not a list")
    return calls


def _read_call(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if (
        not isinstance(function, dict)
        or not _is_name(call.get("id"))
        or not _is_name(function.get("name"))
        or not isinstance(function.get("arguments"), str)
    ):
        raise RowRefusedError(
            "malformed_call",
            "messages: a tool call has no id, no function name, or no arguments as text",
        )
    named = {"name": function["name"], "arguments": function["arguments"]}
    return {"id": call["id"], "type": "function", "function": named}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""
