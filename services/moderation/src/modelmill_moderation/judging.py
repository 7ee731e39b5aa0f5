"""What both ways to judge a text need: policies, a place for the record, and a free event loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from modelmill_audit.text_judged import TextJudged
from modelmill_guard.judge import Judge, Window
from modelmill_guard.judging import AsksJudge, Ruling
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.work_apart import WorkApart

from modelmill_moderation.domain.policies import PolicyInForce

ResultT = TypeVar("ResultT")

LONG_TEXT_CHARACTERS = 8192
"""From here on judging takes milliseconds, which calls beside it would wait for."""


class Policies(Protocol):
    """Where policies come from."""

    def of(self, tenant: str) -> PolicyInForce:
        """The policy that binds a tenant; PreconditionError when none does."""


class AuditTrail(Protocol):
    """Where verdicts are recorded."""

    def record(self, judged: TextJudged) -> None:
        """Take the record and return at once; never raises."""


class AsksJudges(Protocol):
    """See `modelmill_moderation.ask_judge.AskJudge`."""

    async def __call__(self, judge: Judge, window: Window, *, owner: str) -> Ruling: ...


def asking(ask: AsksJudges, policy: PolicyInForce) -> AsksJudge:
    """Asks the judges of one policy."""

    async def of_its_owner(judge: Judge, window: Window) -> Ruling:
        return await ask(judge, window, owner=policy.owner.of_judge(judge.id))

    return of_its_owner


def check_length(length: int, policy: PolicyInForce) -> None:
    """Raise InvalidInputError, which names the limit, for a text that is over the policy's."""
    limit = policy.compiled.max_check_characters
    if length > limit:
        raise InvalidInputError(f"the text has {length} characters; the limit is {limit}")


@dataclass(frozen=True)
class RulesOf:
    """Runs the rules of a tenant's policy on its texts: short work of cheap rules at once."""

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
