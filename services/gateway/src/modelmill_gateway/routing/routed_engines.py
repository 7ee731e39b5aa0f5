"""Which version generates, when a name means several: the caller's variant, or who steps in."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from modelmill_service_kit.errors import NotFoundError, UnavailableError

from modelmill_gateway.domain.chat import ChatCall, Piece
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.domain.split import FALLBACK
from modelmill_gateway.metrics import FALLBACKS
from modelmill_gateway.ports import Engines
from modelmill_gateway.routing.shadow_answers import ShadowAnswers


class RoutedEngines:
    """Engines that know variants; whatever is no variant goes on as it is, at no cost.

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
