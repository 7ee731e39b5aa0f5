"""Content-safety service with deadline, retries, cache and circuit breaker, and its judges."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from modelmill_guard.judge import Judge, Opinion, Window
from modelmill_service_kit.breaker import Breaker

from modelmill_moderation.adapters.safety_http import SafetyHttp
from modelmill_moderation.domain.judge_answers import (
    Failure,
    NoOpinionError,
    ScoreCache,
    Scores,
    bad_answer,
)
from modelmill_moderation.safety_service_settings import SafetyServiceSettings

log = logging.getLogger(__name__)

BREAKER_FAILURES = 5
BREAKER_SECONDS = 10.0
LONGEST_BREAK_SECONDS = 60.0
"""Upper bound of a Retry-After."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 1.0
"""Random backoff before another attempt, doubling up to the second."""
TRIED_AGAIN = frozenset({Failure.BUSY, Failure.BROKEN, Failure.UNREACHABLE})


class SafetyService:
    """Scores texts with one service.

    Args:
        name: Name in policies and logs.
        clock: Monotonic seconds, for cache and circuit breaker.
        chance: Random number from 0 to 1, for the backoff.
        sleep: Replaces asyncio.sleep in tests.
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
        self._cache = ScoreCache(
            entries=settings.cache_entries, seconds=settings.cache_seconds, clock=clock
        )

    async def close(self) -> None:
        """Close connections."""
        await self._http.close()

    async def scores(self, text: str) -> Scores:
        """Scores by the service's own categories; cached.

        Raises:
            NoOpinionError: No attempt within the deadline succeeded.
        """
        cached = self._cache.get(text.encode())
        if cached is not None:
            return cached
        period = self._breaker.admit()
        if period is None:
            raise NoOpinionError(Failure.BREAKER_OPEN, "its circuit breaker is open")
        try:
            scores = await self._ask(text)
        except NoOpinionError as error:
            self._learn(period, error)
            raise
        except BaseException:
            # The caller cancelled: the outcome is unknown.
            self._breaker.abandoned(period)
            raise
        self._breaker.succeeded(period)
        self._cache.put(text.encode(), scores)
        return scores

    def _learn(self, period: int, error: NoOpinionError) -> None:
        if error.failure is Failure.REFUSED:
            # A rejected text must not open the breaker: one tenant could turn the service off for
            # all.
            self._breaker.succeeded(period)
            return
        asked = min(error.retry_after_seconds, LONGEST_BREAK_SECONDS)
        if self._breaker.failed(period, at_least_seconds=asked):
            log.warning("circuit breaker of %s is open: %s", self._name, error)

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


class SafetyJudge:
    """`ask_judge.JudgesWindows` for judges that name a service.

    Args:
        services: Services by the name used in policies.
    """

    def __init__(self, services: Mapping[str, SafetyService]) -> None:
        self._services = services

    async def opinions(self, judge: Judge, window: Window, *, tenant: str) -> Sequence[Opinion]:
        """Scores of the judge's categories for the window with its context.

        Raises:
            NoOpinionError: There is no such service, or no valid response.
        """
        service = self._services.get(judge.service or "")
        if service is None:
            raise NoOpinionError(Failure.UNKNOWN, "no service of that name is configured")
        scores = await service.scores(window.context + window.text)
        # A category unknown to the service would never match, silently.
        if missing := [theirs for theirs, _ in judge.categories if theirs not in scores]:
            raise bad_answer(f"has no score for {', '.join(missing)}")
        return [Opinion(ours, scores[theirs]) for theirs, ours in judge.categories]


@asynccontextmanager
async def safety_services(
    settings: Mapping[str, SafetyServiceSettings],
) -> AsyncIterator[dict[str, SafetyService]]:
    """Open the services while the block lasts.

    Raises:
        InvalidInputError: A file named in the settings cannot be used.
    """
    services = {name: SafetyService(name, each) for name, each in settings.items()}
    try:
        yield services
    finally:
        for service in services.values():
            await service.close()
