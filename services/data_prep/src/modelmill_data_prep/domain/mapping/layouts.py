"""Mappings of well-known row layouts to conversations."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelmill_data_prep.domain.mapping.chat_turns import (
    ChatTurn,
    check_end,
    check_order,
    from_cell,
    read_messages,
    read_tools,
    written_extras,
)
from modelmill_data_prep.domain.mapping.mapped_row import (
    MappedRow,
    RowRefusedError,
    check_text,
    column_of,
    encode_json,
)

Columns = Mapping[str, Any]

_SPEAKERS = {"system": "system", "human": "user", "user": "user", "gpt": "assistant"}
_SPEAKERS |= {"assistant": "assistant", "function_call": "assistant", "observation": "tool"}


def map_openai_chat(columns: Columns) -> MappedRow:
    """{"messages": [...], "tools": [...]}, OpenAI's fine-tuning format."""
    return map_messages(columns, "messages", "tools" if "tools" in columns else "")


def map_messages(columns: Columns, messages_column: str, tools_column: str) -> MappedRow:
    """A column of messages, and optionally one of tools."""
    turns = read_messages(column_of(columns, messages_column))
    check_end(turns)
    return mapped(
        turns, tools=read_tools(column_of(columns, tools_column) if tools_column else None)
    )


def map_sharegpt(columns: Columns) -> MappedRow:
    """ShareGPT: {"conversations": [{"from", "value"}], "system", "tools"}; the last two are
    optional."""
    said = from_cell(column_of(columns, "conversations"), "conversations")
    if not isinstance(said, list):
        raise RowRefusedError("conversations_not_a_list", "conversations: not a list")
    turns = _system_turn(columns)
    waiting: deque[str] = deque()
    for number, one in enumerate(said):
        speaker = one.get("from") if isinstance(one, dict) else None
        if not isinstance(speaker, str) or speaker not in _SPEAKERS:
            raise RowRefusedError(
                "unknown_role", f"conversations: a speaker is none of {', '.join(_SPEAKERS)}"
            )
        value = one.get("value")
        if speaker == "function_call":
            turns.append(_calling_turn(value, number))
            waiting = deque(call["id"] for call in (turns[-1].extra or {})["tool_calls"])
            continue
        text = check_text(value, "conversations: a value")
        if speaker == "observation":
            if not waiting:
                raise RowRefusedError(
                    "tool_not_called", "conversations: an observation without a function_call"
                )
            turns.append(ChatTurn("tool", text, {"tool_call_id": waiting.popleft()}))
        else:
            turns.append(ChatTurn(_SPEAKERS[speaker], text))
    check_order(turns)
    check_end(turns)
    return mapped(turns, tools=read_tools(columns.get("tools")))


def map_alpaca(columns: Columns) -> MappedRow:
    """Alpaca: {"instruction", "input", "output", "system", "history"}; instruction and output are
    required."""
    turns = _system_turn(columns)
    history = from_cell(columns.get("history") or [], "history")
    if not isinstance(history, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in history
    ):
        raise RowRefusedError("history_not_pairs", "history: not a list of pairs")
    for question, answer in history:
        turns.append(ChatTurn("user", check_text(question, "history: a question")))
        turns.append(ChatTurn("assistant", check_text(answer, "history: an answer")))
    asked = check_text(column_of(columns, "instruction"), "column 'instruction'")
    more = columns.get("input")
    if more is not None and more != "":
        asked = "\n".join((asked, check_text(more, "column 'input'")))
    answer = check_text(column_of(columns, "output"), "column 'output'")
    return mapped([*turns, ChatTurn("user", asked), ChatTurn("assistant", answer)])


def map_text(columns: Columns) -> MappedRow:
    """{"text"}: a document for continued pre-training, as one assistant message."""
    return MappedRow(
        ("assistant",), (check_text(column_of(columns, "text"), "column 'text'"),), (None,)
    )


def map_preference(columns: Columns) -> MappedRow:
    """Preference pair: {"prompt" or "messages", "chosen", "rejected"}, texts or message lists.

    An answer given as several messages contains the whole conversation. Both answers must then
    share
    everything before the last message, and a separate prompt must be its end.
    """
    better, chosen = _answer_turns(columns, "chosen")
    worse, rejected = _answer_turns(columns, "rejected")
    if better != worse:
        raise RowRefusedError("contexts_differ", "the answers belong to different conversations")
    turns = _prompt_turns(columns, may_be_missing=bool(better))
    if better:
        if turns and better[-len(turns) :] != turns:
            raise RowRefusedError("contexts_differ", "prompt is not what the answers reply to")
        turns = better
    if rejected.extra is not None:
        raise RowRefusedError("rejected_not_text", "column 'rejected' calls a tool")
    if chosen == rejected:
        raise RowRefusedError("same_answers", "both answers are the same")
    turns = [*_system_turn(columns), *turns, chosen]
    check_order(turns)
    return mapped(turns, tools=read_tools(columns.get("tools")), rejected=rejected.content)


def mapped(
    turns: Sequence[ChatTurn], *, tools: str | None = None, rejected: str | None = None
) -> MappedRow:
    """Convert messages to a row."""
    return MappedRow(
        [turn.role for turn in turns],
        [turn.content for turn in turns],
        written_extras(turns),
        tools,
        rejected,
    )


def _system_turn(columns: Columns) -> list[ChatTurn]:
    system = columns.get("system")
    if system is None or system == "":
        return []
    return [ChatTurn("system", check_text(system, "column 'system'"))]


def _calling_turn(value: Any, number: int) -> ChatTurn:
    """A function_call; ids are generated, because the layout has none."""
    calls = from_cell(value, "conversations: a function_call")
    calls = calls if isinstance(calls, list) else [calls]
    written = []
    for place, call in enumerate(calls):
        name = call.get("name") if isinstance(call, dict) else None
        if not isinstance(name, str) or not name:
            raise RowRefusedError("malformed_call", "conversations: a function_call has no name")
        arguments = call.get("arguments", {})
        if not isinstance(arguments, str):
            arguments = encode_json(arguments, "conversations: a function_call")
        function = {"name": name, "arguments": arguments}
        written.append({"id": f"call_{number}_{place}", "type": "function", "function": function})
    if not written:
        raise RowRefusedError("malformed_call", "conversations: a function_call calls nothing")
    return ChatTurn("assistant", "", {"tool_calls": written})


def _answer_turns(columns: Columns, column: str) -> tuple[list[ChatTurn], ChatTurn]:
    """Context contained in an answer, and the answer itself."""
    value = column_of(columns, column)
    if isinstance(value, str):
        return [], ChatTurn("assistant", check_text(value, f"column {column!r}"))
    if isinstance(value, list) and len(value) == 1:
        # A placeholder, because an assistant message must follow a user message.
        value = [{"role": "user", "content": "-"}, *value]
        turns = read_messages(value)
        check_end(turns)
        return [], turns[-1]
    turns = read_messages(value)
    check_end(turns)
    return turns[:-1], turns[-1]


def _prompt_turns(columns: Columns, *, may_be_missing: bool) -> list[ChatTurn]:
    given = [name for name in ("prompt", "messages") if columns.get(name) not in (None, "")]
    if len(given) > 1:
        raise RowRefusedError("two_prompts", "both prompt and messages are given")
    if not given:
        if may_be_missing:
            return []
        raise RowRefusedError("missing_column", "missing column 'prompt' or 'messages'")
    value = columns[given[0]]
    if given[0] == "prompt" and isinstance(value, str):
        return [ChatTurn("user", check_text(value, "column 'prompt'"))]
    turns = read_messages(value)
    if turns[-1].role not in ("user", "tool"):
        raise RowRefusedError("last_not_user", "the prompt does not end with the user's turn")
    return turns


LAYOUTS: dict[str, Callable[[Columns], MappedRow]] = {
    "openai_chat": map_openai_chat,
    "sharegpt": map_sharegpt,
    "alpaca": map_alpaca,
    "text": map_text,
    "preference": map_preference,
}
