"""A moderation that hangs is not asked for a while: nobody waits for what does not come."""

import logging
import time
from collections.abc import Callable

from modelmill_guard.judge import Window
from modelmill_guard.judging import Ruling
from modelmill_service_kit.breaker import Breaker

from modelmill_gateway.domain.errors import ModerationAwayError, ModerationLateError
from modelmill_gateway.domain.verdict import InputVerdict
from modelmill_gateway.metrics import MODERATION_SPARED
from modelmill_gateway.ports import Moderation

log = logging.getLogger(__name__)

LATE_IN_A_ROW = 3
SPARED_SECONDS = 10.0
TRIAL_SECONDS = 1.0
"""How long the request that tries whether it is well may wait for it."""


class CircuitBreakerModeration:
    """Moderation that is given `patience_seconds` for a verdict.

    Too late three times in a row, it is left alone for ten seconds, then tried by one request that
    waits for a second. Each tenant's requests count for themselves: what one tenant's judges wait
    for closes no other's door. A request with less time of its own than the patience says nothing.
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
