"""A content-safety service, asked within one deadline and left alone while it is ill."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from modelmill_service_kit.breaker import Breaker

from modelmill_moderation.adapters.safety_http import SafetyHttp
from modelmill_moderation.domain.kept_scores import KeptScores, Scores
from modelmill_moderation.domain.no_opinion import Failure, NoOpinionError
from modelmill_moderation.safety_service_settings import SafetyServiceSettings

log = logging.getLogger(__name__)

BREAKER_FAILURES = 5
BREAKER_SECONDS = 10.0
LONGEST_BREAK_SECONDS = 60.0
"""However long a service asks to be left alone."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 1.0
"""Before another attempt: by chance up to so long, doubling."""
TRIED_AGAIN = frozenset({Failure.BUSY, Failure.BROKEN, Failure.UNREACHABLE})


class SafetyService:
    """One service.

    Args:
        name: as policies and the log have it.
        clock: seconds that only grow; ages what is remembered, and tells how long to leave it be.
        chance: from 0 to 1; what waits are made of.
        sleep: waits.
    """

    def __init__(
        self,
        name: str,
        settings: SafetyServiceSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._settings = settings
        self._chance = chance
        self._sleep = sleep
        self._http = SafetyHttp(name, settings)
        self._breaker = Breaker(failures=BREAKER_FAILURES, seconds=BREAKER_SECONDS, clock=clock)
        self._kept = KeptScores(
            entries=settings.cache_entries, seconds=settings.cache_seconds, clock=clock
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._http.close()

    async def scores(self, text: str) -> Scores:
        """By the service's own categories; remembered for a while.

        Raises:
            NoOpinionError: none, after all attempts that fit into the time.
        """
        kept = self._kept.get(text.encode())
        if kept is not None:
            return kept
        period = self._breaker.admit()
        if period is None:
            raise NoOpinionError(Failure.BREAKER_OPEN, "it is left alone for a while")
        try:
            scores = await self._ask(text)
        except NoOpinionError as error:
            self._learn(period, error)
            raise
        except BaseException:
            # The caller left: nobody knows how the service is.
            self._breaker.abandoned(period)
            raise
        self._breaker.succeeded(period)
        self._kept.put(text.encode(), scores)
        return scores

    def _learn(self, period: int, error: NoOpinionError) -> None:
        if error.failure is Failure.REFUSED:
            # Otherwise whoever finds a text that it does not take could turn it off for all.
            self._breaker.succeeded(period)
            return
        asked = min(error.retry_after_seconds, LONGEST_BREAK_SECONDS)
        if self._breaker.failed(period, at_least_seconds=asked):
            log.warning("%s is left alone for a while: %s", self._name, error)

    async def _ask(self, text: str) -> Scores:
        try:
            async with asyncio.timeout(self._settings.timeout_seconds) as timeout:
                deadline = timeout.when()
                assert deadline is not None
                return await self._attempts(text, deadline)
        except TimeoutError:
            raise NoOpinionError(Failure.TIMEOUT, "it did not answer in time") from None

    async def _attempts(self, text: str, deadline: float) -> Scores:
        longest = FIRST_WAIT_SECONDS
        for attempt in range(1, self._settings.attempts + 1):
            try:
                return await self._http.scores(text)
            except NoOpinionError as error:
                wait = error.retry_after_seconds + self._chance() * longest
                is_late = asyncio.get_running_loop().time() + wait >= deadline
                is_last = attempt == self._settings.attempts
                if error.failure not in TRIED_AGAIN or is_last or is_late:
                    raise
            await self._sleep(wait)
            longest = min(2 * longest, LONGEST_WAIT_SECONDS)
        raise AssertionError("the last attempt returns or raises")
