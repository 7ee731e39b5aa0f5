"""An answer that nobody limited ends by itself before its time is over."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from modelmill_inference.domain.generation import TokenPiece

SHARE = 0.05
MOST_SECONDS = 2.0
"""Kept of a request's time for what comes behind the engine."""


def time_to_end(now: float, deadline: float) -> float:
    """When to end an answer that could go on, by the clock of both."""
    return deadline - min(MOST_SECONDS, SHARE * max(0.0, deadline - now))


async def ended_in_time(
    pieces: AsyncGenerator[TokenPiece, None], ends_at: float
) -> AsyncGenerator[TokenPiece, None]:
    """The pieces; the first that comes at or behind `ends_at` is the last, for its length."""
    clock = asyncio.get_running_loop().time
    async with aclosing(pieces):
        async for piece in pieces:
            if piece.finish_reason is None and clock() >= ends_at:
                yield replace(piece, finish_reason="length")
                return
            yield piece
