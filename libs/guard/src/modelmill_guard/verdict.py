"""Verdicts of the rule engine: plain values, equal to what goes over the wire.

A match has shadow positions while it is counted, and positions of the text in the verdict.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Action(IntEnum):
    """What is done with a text; a stronger action is a larger number, as in the proto."""

    ALLOW = 1
    FLAG = 2
    MASK = 3
    BLOCK = 4


class Direction(StrEnum):
    """Which way a text goes."""

    INPUT = "input"
    """From the caller to the model."""

    OUTPUT = "output"
    """From the model to the caller."""


@dataclass(frozen=True)
class RuleMatch:
    """One place where one rule or judge matched, in characters of the original text."""

    rule_id: str
    category: str
    action: Action
    start: int
    """First character."""
    end: int
    """One past the last, with the combining and invisible characters that belong to it."""
    score: float | None = None
    """How sure a judge was, 0 to 1; None for a rule, which matches or does not."""


@dataclass(frozen=True)
class Verdict:
    """What the policy says of one text.

    A block ends the judging: `matches` then holds the first blocked match and what starts no later
    than it, so that a stream, which ends there, and a whole text get the same verdict.
    """

    action: Action
    """The strongest among the matches; ALLOW when there are none."""
    matches: tuple[RuleMatch, ...]
    """In order of start, end and rule id."""
    text: str
    """The text with masked characters replaced one for one; empty when blocked."""
    policy_digest: str
    """Digest of the bundle that judged."""
    unanswered: tuple[str, ...] = ()
    """Judges that gave no opinion on some of it, where the policy lets it pass then; in order."""


class Released(NamedTuple):
    """What a stream may show now."""

    text: str
    """Next characters, masks applied; never taken back."""
    verdict: Verdict | None
    """Set by `finish`, or by the push in which a block was found; nothing is released after it."""


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
