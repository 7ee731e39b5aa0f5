"""Source rows to conversations, by the caller's mapping. Every row is checked whole."""

import math
from collections.abc import Sequence
from typing import Any

from data_prep.domain.dataset_plan import RowMapping
from data_prep.domain.read_jsonl import parse_json
from data_prep.domain.rows import Conversation, RejectedRow, SourceRow, Turn, rejected
from data_prep.domain.text_form import normalise

ROLES = ("system", "user", "assistant")


class RowRefusedError(Exception):
    """The row cannot become a conversation; the message is the reason."""


def map_rows(
    rows: Sequence[SourceRow | RejectedRow], mapping: RowMapping
) -> tuple[list[Conversation], list[RejectedRow]]:
    """Map what can be mapped; rows that were rejected before stay rejected. Keeps the order."""
    conversations: list[Conversation] = []
    refused: list[RejectedRow] = []
    for row in rows:
        if isinstance(row, RejectedRow):
            refused.append(row)
            continue
        try:
            conversations.append(Conversation(row.line, _turns(row, mapping)))
        except RowRefusedError as reason:
            refused.append(rejected(row.line, str(reason), row.raw))
    return conversations, refused


def _turns(row: SourceRow, mapping: RowMapping) -> tuple[Turn, ...]:
    if mapping.messages_column:
        return _given_turns(row, mapping.messages_column)
    values = {column: _text_of(row, column) for column in mapping.columns}
    templates = zip(ROLES, (mapping.system, mapping.user, mapping.answer), strict=True)
    return tuple(Turn(role, template.fill(values)) for role, template in templates if template)


def _text_of(row: SourceRow, column: str) -> str:
    if column not in row.columns:
        raise RowRefusedError(f"missing column {column!r}")
    value = row.columns[column]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RowRefusedError(f"column {column!r} is neither text nor a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise RowRefusedError(f"column {column!r} is not a finite number")
    return _tidy(str(value), f"column {column!r}")


def _tidy(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RowRefusedError(f"{place} has half a surrogate pair") from None
    text = normalise(text)
    if not text:
        raise RowRefusedError(f"{place} is empty")
    return text


def _given_turns(row: SourceRow, column: str) -> tuple[Turn, ...]:
    if column not in row.columns:
        raise RowRefusedError(f"missing column {column!r}")
    messages = row.columns[column]
    if isinstance(messages, str):  # a CSV cell can only hold the list as JSON
        try:
            messages = parse_json(messages)
        except ValueError:
            raise RowRefusedError("messages: not JSON") from None
    if not isinstance(messages, list):
        raise RowRefusedError("messages: not a list")
    turns = tuple(_given_turn(message) for message in messages)
    _check_order([turn.role for turn in turns])
    return turns


def _given_turn(message: Any) -> Turn:
    if not isinstance(message, dict):
        raise RowRefusedError("messages: a turn is not an object")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise RowRefusedError(f"messages: a turn's role is none of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise RowRefusedError("messages: a turn's content is not text")
    return Turn(role, _tidy(content, "messages: a turn's content"))


def _check_order(roles: list[str]) -> None:
    if not roles:
        raise RowRefusedError("messages: no turns")
    if roles[-1] != "assistant":
        raise RowRefusedError("messages: the last turn is not the assistant's")
    if "system" in roles[1:]:
        raise RowRefusedError("messages: a system turn is not the first")
    if "user" not in roles or roles.index("user") > roles.index("assistant"):
        raise RowRefusedError("messages: the assistant speaks before the user")
