"""A check of an installation, and what one finds: for `mill doctor` and for the gateway."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

FactsT = TypeVar("FactsT", contravariant=True)


class FindingSeverity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Something does not work, or data or secrets are at risk."""
    WARNING = "warning"
    """It works, and will not for long."""


@dataclass(frozen=True)
class Symptom:
    """One problem, in a sentence each without a full stop."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class Check(Generic[FactsT]):
    """One thing that is looked at; `look` only reads what was examined, and gives each fault."""

    id: str
    severity: FindingSeverity
    about: str
    """What is looked at, for the documentation."""
    look: Callable[[FactsT], Iterable[Symptom]]


@dataclass(frozen=True)
class Finding:
    """A fault, with the check that found it."""

    check: str
    severity: FindingSeverity
    problem: str
    remedy: str


def found_by(checks: Sequence[Check[FactsT]], it: FactsT) -> Iterator[Finding]:
    """What these checks find, in their order."""
    for check in checks:
        for fault in check.look(it):
            yield Finding(check.id, check.severity, fault.problem, fault.remedy)
