"""Why a source row cannot become a conversation."""

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import msgspec

from modelmill_data_prep.domain.reading.faults import Fault

_SEEN = re.compile(
    "[^\\s\\x00-\\x1f\\x7f-\\x9f\u00ad\u034f\u115f\u1160\u200b-\u200f\u2028-\u202f\u2060-\u206f"
    "\u3164\ufeff\uffa0]"
)
"""A character that a reader sees."""

_JSON = msgspec.json.Encoder()


class RowRefusedError(Exception):
    """The row cannot become a conversation."""

    def __init__(self, rule: str, reason: str) -> None:
        """`rule` is what is left out of "map.<rule>"; neither says a value of the row."""
        super().__init__(reason)
        self.fault = Fault(f"map.{rule}", reason)


def all_seen(texts: Sequence[str]) -> bool:
    """Whether a reader sees something of each text."""
    if not all(texts):
        return False
    # There are few characters that texts begin with, and most of them are seen.
    if all(map(_SEEN.match, set(map(itemgetter(0), texts)))):
        return True
    return all(map(_SEEN.search, texts))


def all_encodable(texts: Sequence[str]) -> bool:
    """Whether no text has half a surrogate pair, which is no character and cannot be written."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(text: Any, place: str) -> str:
    """`text` as it is, when it is one.

    Raises:
        RowRefusedError: No string, one of which nobody sees anything, or one with half a
            surrogate pair.
    """
    if not isinstance(text, str):
        raise RowRefusedError("not_text", f"{place} is not text")
    if not text.isascii() and not all_encodable([text]):
        raise RowRefusedError("half_surrogate", f"{place} has half a surrogate pair")
    if not _SEEN.search(text):
        raise RowRefusedError("empty", f"{place} is empty")
    return text


def column_of(columns: Any, name: str) -> Any:
    """The value of a column.

    Raises:
        RowRefusedError: The row has none of this name.
    """
    if name not in columns:
        raise RowRefusedError("missing_column", f"missing column {name!r}")
    return columns[name]


def written_json(value: Any, place: str) -> str:
    """The value as JSON.

    Raises:
        RowRefusedError: It has half a surrogate pair, or a number that JSON has no form for.
    """
    try:
        return _JSON.encode(value).decode()
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        raise RowRefusedError("no_json_value", f"{place} cannot be written as JSON") from None
