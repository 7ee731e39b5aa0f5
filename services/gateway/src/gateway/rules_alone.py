"""Inputs while moderation is away: closed, unless the policy lets its rules judge alone."""

import asyncio
import logging
from typing import Protocol

from guard.bundle import CompiledPolicy, TextTooLongError
from guard.verdict import Action, Direction
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


class RulesAlone:
    """Moderation where it answers; in its place the same rules judge, and no record is kept."""

    def __init__(self, moderation: Moderation, policies: Policies) -> None:
        self._moderation = moderation
        self._policies = policies

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
        return await asyncio.to_thread(_judged, text, policy)


def _judged(text: str, policy: CompiledPolicy) -> InputVerdict:
    try:
        verdict = policy.check(text, Direction.INPUT)
    except TextTooLongError as error:
        raise BadRequestError(str(error), code="input_too_long") from error
    return InputVerdict(
        blocked=verdict.action is Action.BLOCK,
        hits=tuple(Hit(match.rule_id, match.category) for match in verdict.matches),
        text=verdict.text,
        policy_digest=verdict.policy_digest,
    )
