"""Inference at one address or several: which one is asked, and when another one is.

The only layer that asks again: before the first piece, only what nobody answered or what a replica
says that it cannot answer now, at most twice, and no more than a tenth of what succeeds. An address
where nobody answered five times in a row is left alone for a second, then tried by one request.
"""

import asyncio
import random
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Sequence,
)
from contextlib import (
    AbstractAsyncContextManager,
    aclosing,
)
from typing import TypeVar

from modelmill_service_kit.breaker import Breaker
from modelmill_service_kit.errors import (
    DeadlineError,
    DomainError,
    UnavailableError,
    UnreachableError,
)

from modelmill_gateway.domain.chat import ChatCall, CountedPrompt, Embedded, Piece
from modelmill_gateway.domain.errors import FullError
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.metrics import INFERENCE_RETRIES
from modelmill_gateway.ports import Engines

AnswerT = TypeVar("AnswerT")

ATTEMPTS = 3
FAILURES_IN_A_ROW = 5
LEFT_ALONE_SECONDS = 1.0
PAUSE_SECONDS = 0.05
"""Before the second attempt, at most; twice as long before the third."""


class _Replica:
    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.breaker = Breaker(
            failures=FAILURES_IN_A_ROW, seconds=LEFT_ALONE_SECONDS, clock=time.monotonic
        )
        self.in_flight = 0
        self.asked = 0
        """How often, so that idle ones take turns."""


class Fleet:
    """Load balancer over inference replicas: the one with the fewest requests in flight is asked.

    Args:
        replicas: at least one.
    """

    def __init__(self, replicas: Sequence[Engines]) -> None:
        self._replicas = [_Replica(engines) for engines in replicas]
        self._budget = RetryBudget()

    @property
    def left_alone(self) -> int:
        """How many of them are not asked now, or by one request only, that tries."""
        return sum(not replica.breaker.is_closed for replica in self._replicas)

    def generate(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> AbstractAsyncContextManager[AsyncIterator[Piece]]:
        """Pieces of the answer; leaving the block, however it is left, frees the engine's slot."""
        return aclosing(self._pieces(call, tenant, asked, timeout))

    async def embed(
        self, texts: Sequence[str], *, tenant: str, asked: AskedModel, timeout: float
    ) -> Embedded:
        """A vector for each text; errors as of one replica's."""
        return await self._answer(
            lambda engines, left: engines.embed(texts, tenant=tenant, asked=asked, timeout=left),
            timeout,
        )

    async def count(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> CountedPrompt:
        """How long the prompt is; errors as of one replica's."""
        return await self._answer(
            lambda engines, left: engines.count(call, tenant=tenant, asked=asked, timeout=left),
            timeout,
        )

    async def load(self, *, tenant: str, version_id: str, timeout: float) -> None:
        """Return once the version is warm at every address that answers.

        Raises:
            UnavailableError: none does.
            NotFoundError, PreconditionError: as of a replica's.
        """
        loading = (
            replica.engines.load(tenant=tenant, version_id=version_id, timeout=timeout)
            for replica in self._replicas
        )
        failures = [
            outcome
            for outcome in await asyncio.gather(*loading, return_exceptions=True)
            if outcome is not None
        ]
        away = [failure for failure in failures if isinstance(failure, UnavailableError)]
        if len(away) < len(failures):
            raise next(failure for failure in failures if failure not in away)
        if len(away) == len(self._replicas):
            raise away[0]

    async def _answer(
        self, ask: Callable[[Engines, float], Awaitable[AnswerT]], timeout: float
    ) -> AnswerT:
        """What one replica answers, which is told how many seconds are left."""
        ends_at = time.monotonic() + timeout
        tried: list[_Replica] = []
        while True:
            replica, period = self._pick(tried)
            try:
                answer = await ask(replica.engines, ends_at - time.monotonic())
                self._began(replica, period)
                return answer
            except BaseException as error:
                _note(replica, period, error)
                if not isinstance(error, UnavailableError):
                    raise
                failure = error
            finally:
                replica.in_flight -= 1
            await self._before_another(tried, failure, ends_at)

    async def _pieces(
        self, call: ChatCall, tenant: str, asked: AskedModel, timeout: float
    ) -> AsyncGenerator[Piece]:
        ends_at = time.monotonic() + timeout
        tried: list[_Replica] = []
        while True:
            replica, period = self._pick(tried)
            has_begun = False
            try:
                async with replica.engines.generate(
                    call, tenant=tenant, asked=asked, timeout=ends_at - time.monotonic()
                ) as pieces:
                    first = await anext(pieces, None)
                    if first is None:
                        raise UnavailableError("the engine stopped before it had begun")
                    self._began(replica, period)
                    has_begun = True
                    yield first
                    async for piece in pieces:
                        yield piece
                    return
            except BaseException as error:
                if has_begun:
                    raise
                _note(replica, period, error)
                if not isinstance(error, UnavailableError):
                    raise
                failure = error
            finally:
                replica.in_flight -= 1
            await self._before_another(tried, failure, ends_at)

    def _pick(self, tried: list[_Replica]) -> tuple[_Replica, int]:
        """Who is asked next, one that was not tried if there is any, and the breaker's number.

        It counts as one more in flight there, until the caller says otherwise.
        """
        for replica in self._order(tried):
            period = replica.breaker.admit()
            if period is not None:
                tried.append(replica)
                replica.in_flight += 1
                replica.asked += 1
                return replica, period
        seconds = min(replica.breaker.remaining_seconds for replica in self._replicas)
        raise UnreachableError("inference does not answer", retry_after_seconds=max(seconds, 1.0))

    def _order(self, tried: list[_Replica]) -> list[_Replica]:
        if len(self._replicas) == 1:
            return self._replicas
        untried = [replica for replica in self._replicas if replica not in tried]
        return sorted(untried or self._replicas, key=lambda it: (it.in_flight, it.asked))

    def _began(self, replica: _Replica, period: int) -> None:
        replica.breaker.succeeded(period)
        self._budget.earn()

    async def _before_another(
        self, tried: list[_Replica], error: UnavailableError, ends_at: float
    ) -> None:
        """Wait for the next attempt; raises `error` when there is to be none."""
        pause = random.random() * PAUSE_SECONDS * 2 ** (len(tried) - 1)
        is_last = len(tried) >= ATTEMPTS or isinstance(error, FullError)
        if is_last or time.monotonic() + pause >= ends_at or not self._budget.spend():
            raise error
        INFERENCE_RETRIES.inc()
        await asyncio.sleep(pause)


def _note(replica: _Replica, period: int, error: BaseException) -> None:
    """What an attempt that came to nothing says of whether somebody answers there."""
    if isinstance(error, UnreachableError):
        replica.breaker.failed(period)
    elif isinstance(error, DomainError) and not isinstance(error, DeadlineError):
        replica.breaker.succeeded(period)
    else:
        replica.breaker.abandoned(period)


MOST = 10
"""Retries that may be saved up."""
SUCCESSES = 10
"""That pay for one."""


class RetryBudget:
    """Token bucket of retries: each success adds a tenth of one; it is full at the beginning."""

    def __init__(self) -> None:
        self._tenths = MOST * SUCCESSES

    def earn(self) -> None:
        """A request succeeded."""
        self._tenths = min(MOST * SUCCESSES, self._tenths + 1)

    def spend(self) -> bool:
        """Whether one may ask again; then it is paid for."""
        if self._tenths < SUCCESSES:
            return False
        self._tenths -= SUCCESSES
        return True
