"""Judge a text while it grows."""

import hashlib

from guard.bundle import CompiledPolicy
from guard.verdict import Direction, Released, Verdict
from service_kit.errors import InvalidInputError

from moderation.domain.judged import TextJudged
from moderation.judging import AuditTrail, Policies, judge


class GuardText:
    """Opens guards; each keeps the policy that was in force when its text began."""

    def __init__(self, policies: Policies, audit: AuditTrail) -> None:
        self._policies = policies
        self._audit = audit

    def open(self, *, tenant: str, direction: Direction) -> "GrowingText":
        """A guard for one text.

        Raises:
            PreconditionError: no valid policy bundle.
        """
        return GrowingText(self._policies.of(tenant), self._audit, tenant, direction)


class GrowingText:
    """One text on its way through the guard."""

    def __init__(
        self, policy: CompiledPolicy, audit: AuditTrail, tenant: str, direction: Direction
    ) -> None:
        self._limit = policy.max_check_characters
        self._stream = policy.stream(direction)
        self._audit = audit
        self._tenant = tenant
        self._direction = direction
        self._length = 0
        self._sha256 = hashlib.sha256()

    async def push(self, text: str) -> Released:
        """What may be shown after the next piece; a verdict means that a block ended the text.

        Raises:
            InvalidInputError: the text so far is over the policy's limit, which the message names.
        """
        self._length += len(text)
        if self._length > self._limit:
            raise InvalidInputError(
                f"the text has {self._length} characters; the limit is {self._limit}"
            )
        self._sha256.update(text.encode())
        released = await judge(text, self._stream.push)
        if released.verdict is not None:
            self._record(released.verdict)
        return released

    def finish(self) -> Released:
        """The rest and the verdict, once the text is complete; not after a block."""
        released = self._stream.finish()
        assert released.verdict is not None, "finish always has the verdict"
        self._record(released.verdict)
        return released

    def _record(self, verdict: Verdict) -> None:
        digest = self._sha256.hexdigest()
        self._audit.record(TextJudged(self._tenant, self._direction, verdict, digest))
