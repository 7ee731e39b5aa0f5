"""Requests that wait for a part of a budget, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from modelmill_gateway.domain.ledger.amounts import NOTHING, Amounts


class Outcome(Enum):
    """What a request hears."""

    HELD = "held"
    EXCEEDED = "exceeded"
    """Settled, held and this one together exceed a limit: a fact."""
    WAITING = "waiting"
    """Not known here; the record will tell."""


class Verdict(NamedTuple):
    """The outcome, and with EXCEEDED the index of the limit."""

    outcome: Outcome
    limit: int = -1


HELD = Verdict(Outcome.HELD)
UNKNOWN = Verdict(Outcome.WAITING)


@dataclass(eq=False)
class Waiter:
    """One request that waits; `told` is called once with what came of it."""

    need: Amounts
    callback: Callable[[Verdict], None]
    first_write: int
    """Number of the first write that can have been planned after it came."""
    since_recall: int = 0
    """The first recall that began after it came; 0 before there is one."""


@dataclass(frozen=True)
class Terms:
    """How long leases last and how large they are; milliseconds."""

    lease_ms: int = 6_000
    grace_ms: int = 30_000
    ahead: int = 8
    """A lease is for so many requests like the dearest of late."""


@dataclass
class Demand:
    """What is asked for of late, by which the size of a lease is chosen."""

    dearest: list[int] = field(default_factory=lambda: [0] * len(NOTHING))
    taken: list[int] = field(default_factory=lambda: [0] * len(NOTHING))
    """Since the last renewal."""
    before: list[int] = field(default_factory=lambda: [0] * len(NOTHING))
    """From the renewal before to the last."""
    since_ms: int = 0
    """When the last renewal was. The record does not tell: each write for another reason, too, lets
    a lease last longer."""
