"""Use case: check a text while it is streamed."""

import hashlib
from functools import partial
from typing import Protocol

from modelmill_audit.trail import TextJudged
from modelmill_guard.judged_text import JudgedText, RunsRules
from modelmill_guard.stream import StreamGuard
from modelmill_guard.verdict import Direction, Released, Verdict
from modelmill_service_kit.work_apart import WorkApart

from modelmill_moderation.domain.policies import PolicyInForce
from modelmill_moderation.judging import (
    AsksJudges,
    AuditTrail,
    Policies,
    TenantRules,
    check_length,
    judges_of_policy,
)


class Growing(Protocol):
    """Checker of a streamed text; must be closed."""

    async def push(self, text: str) -> Released:
        """Add a piece; returns the released text. A verdict means that the text is blocked."""

    async def finish(self) -> Released:
        """Remaining text and the verdict."""

    async def close(self) -> None:
        """Cancel pending judge requests."""


def open_text(
    policy: PolicyInForce, direction: Direction, ask: AsksJudges, run: RunsRules
) -> Growing:
    """Checker of a new text."""
    if policy.compiled.judges(direction):
        return JudgedText(policy.compiled, direction, judges_of_policy(ask, policy), run)
    return RulesAlone(policy.compiled.stream(direction), run)


class RulesAlone:
    """Checker for policies without judges."""

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
    """Opens streams; each keeps the policy that was in force at its start."""

    def __init__(
        self, policies: Policies, ask: AsksJudges, audit: AuditTrail, work: WorkApart
    ) -> None:
        self._policies = policies
        self._ask = ask
        self._audit = audit
        self._work = work

    def open(self, *, tenant: str, direction: Direction) -> "GrowingText":
        """Start checking one text.

        Raises:
            PreconditionError: No valid policy is in force.
        """
        policy = self._policies.of(tenant)
        growing = open_text(policy, direction, self._ask, TenantRules(tenant, self._work))
        return GrowingText(policy, growing, self._audit, tenant, direction)


class GrowingText:
    """One streamed text; must be closed."""

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
        """Add a piece; returns the released text. A verdict means that the text is blocked.

        Raises:
            InvalidInputError: The text so far exceeds the policy's limit.
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
        """Remaining text and the verdict, at the end of the text; not after a block.

        Raises:
            UnavailableError: a judge gives no opinion, and the policy is closed then.
        """
        released = await self._growing.finish()
        assert released.verdict is not None, "finish always has the verdict"
        self._record(released.verdict)
        return released

    async def close(self) -> None:
        """Cancel pending judge requests."""
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
