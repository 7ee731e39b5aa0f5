"""The policy on inputs: by its rules in this process where they are all of it, else by moderation.

Rules are a pure function of policy and text, and the bundle is here anyway, for the guard of
outputs: asking another process would cost a chat more than the verdict does. Moderation is asked
where the policy has judges for inputs, and about long texts, which would hold up everybody else's.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256

from modelmill_audit.text_judged import TextJudged
from modelmill_audit.trail import AuditTrail
from modelmill_guard.bundle import CompiledPolicy, TextTooLongError
from modelmill_guard.verdict import Direction, Verdict
from modelmill_guard.when_unavailable import WhenUnavailable
from modelmill_service_kit.errors import DeadlineError
from modelmill_service_kit.work_apart import Rests, WorkApart

from modelmill_gateway.domain.errors import BadRequestError, ModerationAwayError
from modelmill_gateway.domain.verdict import Hit, InputVerdict
from modelmill_gateway.metrics import RULES_ALONE
from modelmill_gateway.ports import Moderation, Policies

log = logging.getLogger(__name__)


class JudgeInputs:
    """One verdict, whoever gives it; who judges keeps the record.

    Args:
        here_chars: texts up to this long are judged here, if the policy's rules are all that judges
            inputs; 0 asks moderation about every text.
    """

    def __init__(
        self,
        moderation: Moderation,
        policies: Policies,
        audit: AuditTrail,
        work: WorkApart,
        *,
        here_chars: int,
    ) -> None:
        self._moderation = moderation
        self._policies = policies
        self._audit = audit
        self._work = work
        self._here_chars = here_chars

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict:
        """The tenant's policy on `text`.

        Raises:
            BadRequestError: the text is longer than the policy allows.
            DeadlineError: the tenant's own rules take too long.
            ModerationAwayError: moderation was to be asked and does not answer, and the policy is
                `closed`.
            UnavailableError: there is no valid policy.
        """
        if len(text) <= self._here_chars:
            policy = self._policies.of(tenant)
            if not policy.judges(Direction.INPUT):
                return await self._judged_here(text, policy, tenant, timeout)
        try:
            return await self._moderation.check_input(text, tenant=tenant, timeout=timeout)
        except ModerationAwayError as error:
            policy = self._policies.of(tenant)
            if policy.when_unavailable is not WhenUnavailable.RULES_ONLY:
                raise
            log.warning("an input was judged by rules alone: %s", error)
        RULES_ALONE.inc()
        return await self._judged_here(text, policy, tenant, timeout, long=True)

    async def _judged_here(
        self, text: str, policy: CompiledPolicy, tenant: str, timeout: float, *, long: bool = False
    ) -> InputVerdict:
        judged = partial(_judged, text, policy, tenant)
        try:
            async with asyncio.timeout(timeout):
                verdict, record = await self._work.run(
                    tenant, judged, len(text), apart=lambda: judged(Rests()), long=long
                )
        except TimeoutError:
            raise DeadlineError("the rules of the policy take too long on this input") from None
        self._audit.record(record)
        return verdict


def _judged(
    text: str, policy: CompiledPolicy, tenant: str, between: Callable[[], None] | None = None
) -> tuple[InputVerdict, TextJudged]:
    """The verdict, and what is to be remembered of it; also these are long where all matches."""
    verdict = _verdict(text, policy, between)
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    record = TextJudged.by(verdict, tenant=tenant, direction=Direction.INPUT, text_sha256=digest)
    shown = InputVerdict(
        action=verdict.action,
        hits=tuple(dict.fromkeys(Hit(each.rule_id, each.category) for each in verdict.matches)),
        text=verdict.text,
        policy_digest=verdict.policy_digest,
        unanswered=verdict.unanswered,
    )
    return shown, record


def _verdict(text: str, policy: CompiledPolicy, between: Callable[[], None] | None) -> Verdict:
    try:
        verdict = policy.check(text, Direction.INPUT, between, each_rule_once=True)
    except TextTooLongError as error:
        raise BadRequestError(str(error), code="input_too_long") from error
    # Judges, where there are any, cannot be asked now, and the policy lets texts pass without them.
    judges = policy.judges(Direction.INPUT)
    return replace(verdict, unanswered=tuple(judge.id for judge in judges)) if judges else verdict
