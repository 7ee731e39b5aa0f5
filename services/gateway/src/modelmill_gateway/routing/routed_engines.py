"""Which version generates, when a name means several: the caller's variant, or who steps in."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill_service_kit.errors import DomainError, NotFoundError, UnavailableError

from modelmill_gateway.domain.chat import ChatCall, End, Piece
from modelmill_gateway.domain.models import FALLBACK, AskedModel, Shadow
from modelmill_gateway.guarding.filtered_answers import usage_of_answers
from modelmill_gateway.metrics import FALLBACKS, SHADOW_SECONDS, SHADOWS
from modelmill_gateway.ports import Engines, UsageRecords

log = logging.getLogger(__name__)

AT_A_TIME = 4
"""More are not asked, and counted as dropped."""


class ShadowAnswers:
    """Shadow traffic: copies requests to a shadow version, discards the text, keeps the figures.

    Args:
        draw: a number from 0 to 1, another each time.
    """

    def __init__(
        self,
        engines: Engines,
        usage: UsageRecords,
        request_seconds: float,
        *,
        draw: Callable[[], float],
    ) -> None:
        self._engines = engines
        self._usage = usage
        self._seconds = request_seconds
        self._draw = draw
        self._asking: set[asyncio.Task[None]] = set()

    def offer(self, call: ChatCall, tenant: str, shadow: Shadow) -> None:
        """Ask it later, if it is its turn and few are asked; returns at once."""
        if self._draw() >= shadow.share:
            return
        if len(self._asking) >= AT_A_TIME:
            SHADOWS.labels("dropped").inc()
            return
        task = asyncio.create_task(self._ask(call, tenant, shadow.version_id))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def close(self) -> None:
        """End what is being asked."""
        for task in tuple(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _ask(self, call: ChatCall, tenant: str, version_id: str) -> None:
        began, ends = time.perf_counter(), []
        first_seconds = 0.0
        try:
            async with self._engines.generate(
                call,
                tenant=tenant,
                asked=AskedModel(version_id, version_id),
                timeout=self._seconds,
            ) as pieces:
                async for piece in pieces:
                    first_seconds = first_seconds or time.perf_counter() - began
                    if piece.end is not None:
                        ends.append(piece.end)
        except DomainError as error:
            SHADOWS.labels("failed").inc()
            log.info("the shadow %s did not answer: %s", version_id, error.reason)
            return
        except Exception:
            SHADOWS.labels("failed").inc()
            log.exception("unexpected error in the shadow %s", version_id)
            return
        seconds = time.perf_counter() - began
        SHADOWS.labels("answered").inc()
        SHADOW_SECONDS.observe(seconds)
        self._usage.record(_usage(ends, tenant, version_id, first_seconds, seconds))


def _usage(
    ends: list[End], tenant: str, version_id: str, first_seconds: float, seconds: float
) -> UsageRecorded:
    tokens = usage_of_answers(ends) if ends else None
    record = UsageRecorded(
        request_id=f"shadow-{uuid.uuid4().hex}",
        tenant=tenant,
        version_id=version_id,
        prompt_tokens=tokens.prompt_tokens if tokens else 0,
        completion_tokens=tokens.completion_tokens if tokens else 0,
        first_token_seconds=first_seconds,
        total_seconds=seconds,
        finish_reason=ends[0].finish_reason if ends else "error",
        shadow=True,
    )
    record.at.GetCurrentTime()
    return record


class RoutedEngines:
    """Routing to variants of an alias; what is no variant goes on as it is, at no cost.

    Before the first piece, a version that nobody serves now (away, not loaded, full) is followed by
    the alias's fallbacks in order; behind it, never.
    """

    def __init__(self, engines: Engines, shadows: ShadowAnswers) -> None:
        self._engines = engines
        self._shadows = shadows

    def generate(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> AbstractAsyncContextManager[AsyncIterator[Piece]]:
        """Pieces of the answer, the first of which names the variant."""
        if not asked.variant:
            return self._engines.generate(call, tenant=tenant, asked=asked, timeout=timeout)
        return self._routed(call, tenant, asked, timeout)

    @asynccontextmanager
    async def _routed(
        self, call: ChatCall, tenant: str, asked: AskedModel, timeout: float
    ) -> AsyncIterator[AsyncIterator[Piece]]:
        ended = 0

        async def counted() -> AsyncGenerator[Piece]:
            nonlocal ended
            async with aclosing(self._pieces(call, tenant, asked, timeout)) as pieces:
                async for piece in pieces:
                    ended += piece.end is not None
                    yield piece

        async with aclosing(counted()) as pieces:
            yield pieces
        # Whole, and with its caller: from here on it costs nobody time.
        if asked.shadow is not None and ended == call.answers:
            self._shadows.offer(call, tenant, asked.shadow)

    async def _pieces(
        self, call: ChatCall, tenant: str, asked: AskedModel, timeout: float
    ) -> AsyncGenerator[Piece]:
        ends_at = time.monotonic() + timeout
        steps = [(asked.variant, asked.model), *((FALLBACK, each) for each in asked.fallbacks)]
        for number, (variant, version_id) in enumerate(steps, start=1):
            named = AskedModel(version_id, version_id)
            has_begun = False
            try:
                async with self._engines.generate(
                    call, tenant=tenant, asked=named, timeout=ends_at - time.monotonic()
                ) as pieces:
                    async for piece in pieces:
                        if not has_begun:
                            has_begun, piece = True, piece._replace(variant=variant)
                        yield piece
                    return
            except (UnavailableError, NotFoundError):
                if has_begun or number == len(steps) or time.monotonic() >= ends_at:
                    raise
                FALLBACKS.inc()
