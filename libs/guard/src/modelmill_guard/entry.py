"""What each entry of a policy has, a rule or a judge, read with all that is wrong with it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

import re2

from modelmill_guard.verdict import Action, Direction

DIRECTIONS = {
    "input": frozenset({Direction.INPUT}),
    "output": frozenset({Direction.OUTPUT}),
    "both": frozenset(Direction),
}
ACTIONS = {action.name.lower(): action for action in (Action.FLAG, Action.MASK, Action.BLOCK)}

_ID = re2.compile(r"[a-z0-9][a-z0-9-]{0,62}")

ValueT = TypeVar("ValueT")


class Severity(StrEnum):
    """How bad a match is; for people who sort and count, it changes no verdict."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


SEVERITIES = {severity.value: severity for severity in Severity}


def directions_name(directions: frozenset[Direction]) -> str:
    """How a policy writes `directions`."""
    return next(name for name, value in DIRECTIONS.items() if value == directions)


class EntryReader:
    """Reads one entry and gathers what is wrong with it.

    Args:
        document: the name of the document, shown in errors.
        kind: what the entry is, shown in errors.
        number: its place among those of its kind, shown where it has no id.
    """

    def __init__(self, document: str, kind: str, number: int, written: object) -> None:
        self.errors: list[str] = []
        self._written: dict[Any, Any] = written if isinstance(written, dict) else {}
        entry_id = self._written.get("id")
        self._where = f"{document}: {kind} {entry_id if isinstance(entry_id, str) else number}"
        if not isinstance(written, dict):
            self._refuse("is not a mapping")

    def _refuse(self, message: str) -> None:
        self.errors.append(f"{self._where}: {message}")

    def _check_keys(self, known: frozenset[str]) -> None:
        for key in self._written.keys() - known:
            self._refuse(f"unknown key {key!r}")

    def _id(self) -> str:
        entry_id = self._written.get("id")
        if not isinstance(entry_id, str) or not entry_id.isascii() or not _ID.fullmatch(entry_id):
            self._refuse("id must be lower-case letters, digits and hyphens, at most 63")
        return str(entry_id)

    def _choice(
        self, key: str, choices: Mapping[str, ValueT], *, default: ValueT | None = None
    ) -> ValueT | None:
        if default is not None and key not in self._written:
            return default
        value = self._written.get(key)
        if isinstance(value, str) and value in choices:
            return choices[value]
        self._refuse(f"{key} must be one of {', '.join(choices)}")
        return None

    def _truth(self, key: str) -> bool:
        value = self._written.get(key, False)
        if not isinstance(value, bool):
            self._refuse(f"{key} must be true or false")
        return value is True


def is_category(category: object) -> bool:
    """Whether it can name what a match is about."""
    return isinstance(category, str) and bool(category) and category.isprintable()
