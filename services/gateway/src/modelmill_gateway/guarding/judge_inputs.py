"""The policy on inputs: by its rules in this process where they are all of it, else by moderation.

Rules are a pure function of policy and text, and the bundle is here anyway, for the guard of
outputs: asking another process would cost a chat more than the verdict does. Moderation is asked
where the policy has judges for inputs, and about long texts, which would hold up everybody else's.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256

from modelmill_audit.trail import AuditTrail, TextJudged
from modelmill_guard.bundle import CompiledPolicy, TextTooLongError
from modelmill_guard.judge import Judge, OnFailure, Window
from modelmill_guard.judging import AsksJudge, Ruling
from modelmill_guard.policy import WhenUnavailable
from modelmill_guard.verdict import Direction
from modelmill_service_kit.breaker import Breaker
from modelmill_service_kit.errors import DeadlineError, UnavailableError
from modelmill_service_kit.work_apart import Rests, WorkApart

from modelmill_gateway.domain.errors import (
    BadRequestError,
    ModerationAwayError,
    ModerationLateError,
)
from modelmill_gateway.domain.request_context import Deadline
from modelmill_gateway.domain.verdict import Hit, InputVerdict
from modelmill_gateway.guarding.policy_book import PolicyBook
from modelmill_gateway.metrics import MODERATION_SPARED, RULES_ALONE, UNJUDGED_WINDOWS
from modelmill_gateway.ports import Moderation

log = logging.getLogger(__name__)


class JudgeInputs:
    """Moderation of inputs, here or by the moderation service; who judges keeps the record.

    Args:
        here_chars: texts up to this long are judged here, if the policy's rules are all that judges
            inputs; 0 asks moderation about every text.
    """

    def __init__(
        self,
        moderation: Moderation,
        policies: PolicyBook,
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
    try:
        verdict = policy.check(text, Direction.INPUT, between, each_rule_once=True)
    except TextTooLongError as error:
        raise BadRequestError(str(error), code="input_too_long") from error
    # Judges, where there are any, cannot be asked now, and the policy lets texts pass without them.
    if judges := policy.judges(Direction.INPUT):
        verdict = replace(verdict, unanswered=tuple(judge.id for judge in judges))
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    record = TextJudged.by(verdict, tenant=tenant, direction=Direction.INPUT, text_sha256=digest)
    shown = InputVerdict(
        action=verdict.action,
        hits=tuple(
            dict.fromkeys(Hit(each.rule_id, each.category, first=each) for each in verdict.matches)
        ),
        text=verdict.text,
        policy_digest=verdict.policy_digest,
        unanswered=verdict.unanswered,
    )
    return shown, record


JUDGE_SECONDS = 5.0
"""An opinion that takes longer is none."""


class AskJudges:
    """Client of moderation's judges, by the policy that an answer began with."""

    def __init__(self, moderation: Moderation) -> None:
        self._moderation = moderation

    def of(self, policy: CompiledPolicy, tenant: str, deadline: Deadline) -> AsksJudge:
        """How the judges of one answer are asked.

        It raises `UnavailableError` where a judge gives no opinion and nothing passes without it,
        and `DeadlineError` when the request's time is over.
        """

        async def ask(judge: Judge, window: Window) -> Ruling:
            timeout = deadline.remaining(at_most=JUDGE_SECONDS)
            try:
                ruling = await self._moderation.judge_window(
                    judge.id, window, tenant=tenant, policy_digest=policy.digest, timeout=timeout
                )
            except UnavailableError as error:
                if judge.on_failure is OnFailure.CLOSED:
                    raise
                log.warning("a window passes without judge %s: %s", judge.id, error)
                ruling = Ruling((), answered=False)
            if not ruling.answered:
                UNJUDGED_WINDOWS.inc()
            # The caller may want a stop where the policy flags: `policy` is the one that counts.
            matches = (replace(match, action=judge.action) for match in ruling.matches)
            return Ruling(tuple(matches), ruling.answered)

        return ask


LATE_IN_A_ROW = 3
SPARED_SECONDS = 10.0
TRIAL_SECONDS = 1.0
"""How long the request that tries whether it is well may wait for it."""


class CircuitBreakerModeration:
    """Circuit breaker in front of moderation, which has `patience_seconds` for a verdict.

    Too late three times in a row, it is left alone for ten seconds, then tried by one request that
    waits for a second. Each tenant's requests count for themselves: what one tenant's judges wait
    for affects no other tenant. A request with less time of its own than the patience says nothing.
    """

    def __init__(
        self,
        moderation: Moderation,
        patience_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._moderation = moderation
        self._patience = patience_seconds
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}
        """Of tenants whose last verdict was late."""

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict:
        """As moderation's; ModerationAwayError at once while it is left alone."""
        breaker = self._breakers.setdefault(tenant, self._new())
        period = breaker.admit()
        if period is None:
            raise _spared(breaker)
        patience = self._patience if breaker.is_closed else min(self._patience, TRIAL_SECONDS)
        try:
            verdict = await self._moderation.check_input(
                text, tenant=tenant, timeout=min(timeout, patience)
            )
        except ModerationLateError:
            if timeout < patience:
                breaker.abandoned(period)
            elif breaker.failed(period):
                log.warning("moderation hangs; it is left alone for %.0f s", SPARED_SECONDS)
            raise
        except Exception:
            # A refusal that came in time, also of a connection: it does not hang.
            self._answered(tenant, breaker, period)
            raise
        except BaseException:
            breaker.abandoned(period)
            raise
        self._answered(tenant, breaker, period)
        return verdict

    async def judge_window(
        self, judge_id: str, window: Window, *, tenant: str, policy_digest: str, timeout: float
    ) -> Ruling:
        """As moderation's; ModerationAwayError at once while it is left alone."""
        breaker = self._breakers.get(tenant)
        if breaker is not None and not breaker.is_closed:
            raise _spared(breaker)
        return await self._moderation.judge_window(
            judge_id, window, tenant=tenant, policy_digest=policy_digest, timeout=timeout
        )

    def _answered(self, tenant: str, breaker: Breaker, period: int) -> None:
        breaker.succeeded(period)
        if breaker.is_closed:
            self._breakers.pop(tenant, None)

    def _new(self) -> Breaker:
        return Breaker(failures=LATE_IN_A_ROW, seconds=SPARED_SECONDS, clock=self._clock)


def _spared(breaker: Breaker) -> ModerationAwayError:
    MODERATION_SPARED.inc()
    return ModerationAwayError(
        "moderation hangs and is not asked, so nothing passes",
        retry_after_seconds=max(breaker.remaining_seconds, TRIAL_SECONDS),
    )
