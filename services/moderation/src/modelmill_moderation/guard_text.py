"""Judge a text while it grows."""

import hashlib
from functools import partial
from typing import Protocol

from modelmill_audit.text_judged import TextJudged
from modelmill_guard.judged_text import JudgedText, RunsRules
from modelmill_guard.stream import StreamGuard
from modelmill_guard.verdict import Direction, Released, Verdict
from modelmill_service_kit.work_apart import WorkApart

from modelmill_moderation.domain.policies import PolicyInForce
from modelmill_moderation.judging import (
    AsksJudges,
    AuditTrail,
    Policies,
    RulesOf,
    asking,
    check_length,
)


class Growing(Protocol):
    """A text that comes in pieces; to be closed, whatever came of it."""

    async def push(self, text: str) -> Released:
        """What may be shown after the next piece; a verdict means that a block ended the text."""

    async def finish(self) -> Released:
        """The rest and the verdict."""

    async def close(self) -> None:
        """Ask nobody any more."""


def open_text(
    policy: PolicyInForce, direction: Direction, ask: AsksJudges, run: RunsRules
) -> Growing:
    """A text at its beginning."""
    if policy.compiled.judges(direction):
        return JudgedText(policy.compiled, direction, asking(ask, policy), run)
    return RulesAlone(policy.compiled.stream(direction), run)


class RulesAlone:
    """A text on which nobody is asked."""

    def __init__(self, stream: StreamGuard, run: RunsRules) -> None:
        self._stream = stream
        self._run = run

    async def push(self, text: str) -> Released:
        return await self._run(partial(self._stream.push, text), len(text))

    async def finish(self) -> Released:
        return await self._run(self._stream.finish, 0)

    async def close(self) -> None:
        """Nothing is open."""


class GuardText:
    """Opens guards; each keeps the policy that was in force when its text began."""

    def __init__(
        self, policies: Policies, ask: AsksJudges, audit: AuditTrail, work: WorkApart
    ) -> None:
        self._policies = policies
        self._ask = ask
        self._audit = audit
        self._work = work

    def open(self, *, tenant: str, direction: Direction) -> "GrowingText":
        """A guard for one text.

        Raises:
            PreconditionError: no valid policy bundle.
        """
        policy = self._policies.of(tenant)
        growing = open_text(policy, direction, self._ask, RulesOf(tenant, self._work))
        return GrowingText(policy, growing, self._audit, tenant, direction)


class GrowingText:
    """One text on its way through the guard; to be closed, whatever came of it."""

    def __init__(
        self,
        policy: PolicyInForce,
        growing: Growing,
        audit: AuditTrail,
        tenant: str,
        direction: Direction,
    ) -> None:
        self._policy = policy
        self._growing = growing
        self._audit = audit
        self._tenant = tenant
        self._direction = direction
        self._length = 0
        self._sha256 = hashlib.sha256()

    async def push(self, text: str) -> Released:
        """What may be shown after the next piece; a verdict means that a block ended the text.

        Raises:
            InvalidInputError: the text so far is over the policy's limit, which the message names.
            UnavailableError: a judge gives no opinion, and the policy is closed then.
        """
        self._length += len(text)
        check_length(self._length, self._policy)
        self._sha256.update(text.encode())
        released = await self._growing.push(text)
        if released.verdict is not None:
            self._record(released.verdict)
        return released

    async def finish(self) -> Released:
        """The rest and the verdict, once the text is complete; not after a block.

        Raises:
            UnavailableError: a judge gives no opinion, and the policy is closed then.
        """
        released = await self._growing.finish()
        assert released.verdict is not None, "finish always has the verdict"
        self._record(released.verdict)
        return released

    async def close(self) -> None:
        """Ask nobody any more."""
        await self._growing.close()

    def _record(self, verdict: Verdict) -> None:
        self._audit.record(
            TextJudged.by(
                verdict,
                tenant=self._tenant,
                direction=self._direction,
                text_sha256=self._sha256.hexdigest(),
            )
        )
