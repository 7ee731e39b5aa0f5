"""The policy on inputs: by its rules in this process where they are all of it, else by moderation.

Rules are a pure function of policy and text, and the bundle is here anyway, for the guard of
outputs: asking another process would cost a chat more than the verdict does. Moderation is asked
where the policy has judges for inputs, and about long texts, which would hold up everybody else's.
"""

import asyncio
import logging
from dataclasses import replace
from hashlib import sha256

from audit.text_judged import TextJudged
from guard.bundle import CompiledPolicy, TextTooLongError
from guard.verdict import Direction, Verdict
from guard.when_unavailable import WhenUnavailable

from gateway.domain.errors import BadRequestError, ModerationAwayError
from gateway.domain.verdict import Hit, InputVerdict
from gateway.measures import RULES_ALONE
from gateway.neighbours import AuditTrail, Moderation, Policies

log = logging.getLogger(__name__)


class JudgeInputs:
    """One verdict, whoever gives it; who judges keeps the record.

    Args:
        here_chars: texts up to this long are judged here, if the policy's rules are all that judges
            inputs; 0 asks moderation about every text.
    """

    def __init__(
        self, moderation: Moderation, policies: Policies, audit: AuditTrail, *, here_chars: int
    ) -> None:
        self._moderation = moderation
        self._policies = policies
        self._audit = audit
        self._here_chars = here_chars

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict:
        """The tenant's policy on `text`.

        Raises:
            BadRequestError: the text is longer than the policy allows.
            ModerationAwayError: moderation was to be asked and does not answer, and the policy is
                `closed`.
            UnavailableError: there is no valid policy.
        """
        if len(text) <= self._here_chars:
            policy = self._policies.of(tenant)
            if not policy.judges(Direction.INPUT):
                return self._recorded(_judged(text, policy), text, tenant)
        try:
            return await self._moderation.check_input(text, tenant=tenant, timeout=timeout)
        except ModerationAwayError as error:
            policy = self._policies.of(tenant)
            if policy.when_unavailable is not WhenUnavailable.RULES_ONLY:
                raise
            log.warning("an input was judged by rules alone: %s", error)
        RULES_ALONE.inc()
        return self._recorded(await asyncio.to_thread(_judged, text, policy), text, tenant)

    def _recorded(self, verdict: Verdict, text: str, tenant: str) -> InputVerdict:
        digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        self._audit.record(
            TextJudged.by(verdict, tenant=tenant, direction=Direction.INPUT, text_sha256=digest)
        )
        return InputVerdict(
            action=verdict.action,
            hits=tuple(Hit(match.rule_id, match.category) for match in verdict.matches),
            text=verdict.text,
            policy_digest=verdict.policy_digest,
            unanswered=verdict.unanswered,
        )


def _judged(text: str, policy: CompiledPolicy) -> Verdict:
    try:
        verdict = policy.check(text, Direction.INPUT)
    except TextTooLongError as error:
        raise BadRequestError(str(error), code="input_too_long") from error
    # Judges, where there are any, cannot be asked now, and the policy lets texts pass without them.
    judges = policy.judges(Direction.INPUT)
    return replace(verdict, unanswered=tuple(judge.id for judge in judges)) if judges else verdict
