"""A match while it is still counted in shadow positions."""

from dataclasses import dataclass
from typing import NamedTuple

from modelmill_guard.verdict import Action


@dataclass(frozen=True)
class RuleHead:
    """What a match says of its rule."""

    rule_id: str
    category: str
    action: Action


class Found(NamedTuple):
    """One rule matched from `start` to before `end`."""

    start: int
    end: int
    rule: RuleHead


class SeenHead(NamedTuple):
    """A place where a match of a pattern may begin."""

    pattern: int
    start: int
