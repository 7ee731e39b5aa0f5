"""Judge a text while it grows."""

import hashlib
from typing import Protocol

from audit.text_judged import TextJudged
from guard.judged_text import JudgedText
from guard.stream import StreamGuard
from guard.verdict import Direction, Released, Verdict

from moderation.domain.policies import PolicyInForce
from moderation.judging import (
    AsksJudges,
    AuditTrail,
    Policies,
    asking,
    check_length,
    judge,
)


class Growing(Protocol):
    """A text before the rules, or before rules and judges."""

    async def push(self, text: str) -> Released: ...

    async def finish(self) -> Released: ...

    async def close(self) -> None: ...


class GuardText:
    """Opens guards; each keeps the policy that was in force when its text began."""

    def __init__(self, policies: Policies, ask: AsksJudges, audit: AuditTrail) -> None:
        self._policies = policies
        self._ask = ask
        self._audit = audit

    def open(self, *, tenant: str, direction: Direction) -> "GrowingText":
        """A guard for one text.

        Raises:
            PreconditionError: no valid policy bundle.
        """
        policy = self._policies.of(tenant)
        growing: Growing
        if policy.compiled.judges(direction):
            growing = JudgedText(policy.compiled, direction, asking(self._ask, policy))
        else:
            growing = RulesAlone(policy.compiled.stream(direction))
        return GrowingText(policy, growing, self._audit, tenant, direction)


class RulesAlone:
    """A growing text on which nobody is asked."""

    def __init__(self, stream: StreamGuard) -> None:
        self._stream = stream

    async def push(self, text: str) -> Released:
        return await judge(text, self._stream.push)

    async def finish(self) -> Released:
        return self._stream.finish()

    async def close(self) -> None:
        """Nothing is open."""


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
