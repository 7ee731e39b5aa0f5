"""Judge one whole text."""

import hashlib
from functools import partial

from guard.bundle import TextTooLongError
from guard.verdict import Direction, Verdict
from service_kit.errors import InvalidInputError

from moderation.domain.judged import TextJudged
from moderation.judging import AuditTrail, Policies, judge
from moderation.measures import CHECK_SECONDS


class CheckText:
    """One text, one verdict, by the policy in force when the call came."""

    def __init__(self, policies: Policies, audit: AuditTrail) -> None:
        self._policies = policies
        self._audit = audit

    async def __call__(self, *, tenant: str, text: str, direction: Direction) -> Verdict:
        """The verdict, recorded in the background.

        Raises:
            InvalidInputError: the text is over the policy's limit, which the message names.
            PreconditionError: no valid policy bundle.
        """
        policy = self._policies.of(tenant)
        try:
            with CHECK_SECONDS.time():
                verdict = await judge(text, partial(policy.check, direction=direction))
        except TextTooLongError as error:
            raise InvalidInputError(str(error)) from error
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._audit.record(TextJudged(tenant, direction, verdict, digest))
        return verdict
