"""Interfaces and helpers shared by whole and streamed checks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from modelmill_audit.trail import TextJudged
from modelmill_guard.judge import Judge, Window
from modelmill_guard.judging import AsksJudge, Ruling
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.work_apart import WorkApart

from modelmill_moderation.domain.policies import PolicyInForce

ResultT = TypeVar("ResultT")

LONG_TEXT_CHARACTERS = 8192
"""Length from which a check takes milliseconds and would block the event loop."""


class Policies(Protocol):
    """Policies in force."""

    def of(self, tenant: str) -> PolicyInForce:
        """Policy in force for a tenant; raises PreconditionError if there is none."""


class AuditTrail(Protocol):
    """Audit log of verdicts."""

    def record(self, judged: TextJudged) -> None:
        """Queue the record; never blocks or raises."""


class AsksJudges(Protocol):
    """See `modelmill_moderation.judge_window.AskJudge`."""

    async def __call__(self, judge: Judge, window: Window, *, owner: str) -> Ruling: ...


def judges_of_policy(ask: AsksJudges, policy: PolicyInForce) -> AsksJudge:
    """Callable for the judges of one policy."""

    async def of_its_owner(judge: Judge, window: Window) -> Ruling:
        return await ask(judge, window, owner=policy.owner.of_judge(judge.id))

    return of_its_owner


def check_length(length: int, policy: PolicyInForce) -> None:
    """Raise InvalidInputError for a text over the policy's limit."""
    limit = policy.compiled.max_check_characters
    if length > limit:
        raise InvalidInputError(f"the text has {length} characters; the limit is {limit}")


@dataclass(frozen=True)
class TenantRules:
    """Runs a tenant's rules: short texts inline, long ones off the event loop."""

    tenant: str
    work: WorkApart

    async def __call__(
        self,
        work: Callable[[], ResultT],
        characters: int,
        apart: Callable[[], ResultT] | None = None,
    ) -> ResultT:
        long = characters >= LONG_TEXT_CHARACTERS
        return await self.work.run(self.tenant, work, characters, apart=apart, long=long)
