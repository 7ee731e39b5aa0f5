"""Inputs while moderation is away: closed, unless the policy lets its rules judge alone."""

import asyncio
import logging
from dataclasses import replace
from hashlib import sha256
from typing import Protocol

from audit.text_judged import TextJudged
from guard.bundle import CompiledPolicy, TextTooLongError
from guard.verdict import Direction, Verdict
from guard.when_unavailable import WhenUnavailable

from gateway.domain.errors import BadRequestError, ModerationAwayError
from gateway.domain.verdict import Hit, InputVerdict
from gateway.measures import RULES_ALONE

log = logging.getLogger(__name__)


class Moderation(Protocol):
    """Judges inputs."""

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict: ...


class Policies(Protocol):
    """The policies in force, which the guard of outputs also uses."""

    def of(self, tenant: str) -> CompiledPolicy: ...


class AuditTrail(Protocol):
    """Takes verdicts without waiting."""

    def record(self, judged: TextJudged) -> None: ...


class RulesAlone:
    """Moderation where it answers; in its place the same rules judge, and this keeps the record."""

    def __init__(self, moderation: Moderation, policies: Policies, audit: AuditTrail) -> None:
        self._moderation = moderation
        self._policies = policies
        self._audit = audit

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict:
        """The tenant's policy on `text`.

        Raises:
            BadRequestError: the text is longer than the policy allows.
            ModerationAwayError: moderation does not answer, and the policy is `closed`.
            UnavailableError: there is no valid policy.
        """
        try:
            return await self._moderation.check_input(text, tenant=tenant, timeout=timeout)
        except ModerationAwayError as error:
            policy = self._policies.of(tenant)
            if policy.when_unavailable is not WhenUnavailable.RULES_ONLY:
                raise
            log.warning("an input was judged by rules alone: %s", error)
        RULES_ALONE.inc()
        verdict = await asyncio.to_thread(_judged, text, policy)
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
    # Nobody can ask the judges now, and the policy lets texts pass without them.
    judges = policy.judges(Direction.INPUT)
    return replace(verdict, unanswered=tuple(judge.id for judge in judges))
