"""Errors and checks of values in source rows."""

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
"""A visible character."""

_JSON = msgspec.json.Encoder()


class RowRefusedError(Exception):
    """The row cannot become a conversation."""

    def __init__(self, rule: str, reason: str) -> None:
        """`rule` becomes "map.<rule>"; neither it nor `reason` may contain values of the row."""
        super().__init__(reason)
        self.fault = Fault(f"map.{rule}", reason)


def all_seen(texts: Sequence[str]) -> bool:
    """Whether each text has a visible character."""
    if not all(texts):
        return False
    # Fast path: few distinct first characters, and most of them are visible.
    if all(map(_SEEN.match, set(map(itemgetter(0), texts)))):
        return True
    return all(map(_SEEN.search, texts))


def all_encodable(texts: Sequence[str]) -> bool:
    """Whether no text has an unpaired surrogate, which UTF-8 cannot encode."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(text: Any, place: str) -> str:
    """Return `text` if it is valid text.

    Raises:
        RowRefusedError: It is not a string, has no visible character, or an unpaired surrogate.
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
        RowRefusedError: The column is missing.
    """
    if name not in columns:
        raise RowRefusedError("missing_column", f"missing column {name!r}")
    return columns[name]


def encode_json(value: Any, place: str) -> str:
    """Encode a value as JSON.

    Raises:
        RowRefusedError: It has an unpaired surrogate or a number that JSON cannot represent.
    """
    try:
        return _JSON.encode(value).decode()
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        raise RowRefusedError("no_json_value", f"{place} cannot be written as JSON") from None
