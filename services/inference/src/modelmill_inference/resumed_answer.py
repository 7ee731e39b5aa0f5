"""Resumes requests after the engine process died and restarted.

The number of restarts is limited: a request that crashes its engine would fail all others too.
"""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from modelmill_service_kit.errors import UnavailableError

from modelmill_inference.domain.generation import GenerationRequest, TokenPiece
from modelmill_inference.engine import Engine, EngineRestartingError
from modelmill_inference.metrics import RESUMED

log = logging.getLogger(__name__)
MAX_FAILURES = 2
"""Engine failures tolerated during one request; the next one is returned to the caller."""
Result = TypeVar("Result")
SHARE = 0.05
MOST_SECONDS = 2.0
"""Part of a request's time that is reserved for the steps after the engine."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """Request to the restarted engine, and the part of its answer that was already sent."""

    request: GenerationRequest
    known: tuple[int, ...]
    """Tokens that the new answer must start with; otherwise it is a different answer."""


def resume(request: GenerationRequest, told: Sequence[int], *, exact: bool) -> Resumption:
    """Continue an answer of which `told` was sent.

    An exact engine repeats its answer, and the known part is dropped. Another engine may choose
    other tokens, so `told` becomes part of the prompt. If that would change the request (a grammar
    in progress, penalties on generated tokens), the answer is repeated too and must match `told`.
    """
    starts_over = exact or request.grammar or request.presence_penalty or request.frequency_penalty
    if starts_over or not told:
        return Resumption(request, tuple(told))
    rest = replace(
        request,
        prompt=(*request.prompt, *told),
        max_new_tokens=request.max_new_tokens - len(told),
    )
    return Resumption(rest, ())


@dataclass(frozen=True)
class RestartPatience:
    """How long a request waits for a restarting engine."""

    wait_seconds: float = 30.0
    """Maximum restart time."""
    poll_seconds: float = 0.05
    """Interval between attempts."""


PATIENCE = RestartPatience()


async def resumed(
    engine: Engine, request: GenerationRequest, patience: RestartPatience = PATIENCE
) -> AsyncGenerator[TokenPiece, None]:
    """As `engine.generate`, and continues if the engine dies meanwhile.

    Raises:
        EngineRestartingError: it died too often, or did not restart in time.
        UnavailableError: the repeated answer differs from what was already sent.
    """
    told: list[int] = []
    backoff = _RestartWait(patience)
    while len(told) < request.max_new_tokens:
        asked = resume(request, told, exact=engine.abilities.exact)
        try:
            async with aclosing(_rest(engine, asked)) as pieces:
                async for piece in pieces:
                    told += piece.tokens
                    yield piece
            return
        except EngineRestartingError as error:
            await backoff.wait(error)
    yield TokenPiece((), "length")


async def retried(ask: Callable[[], Awaitable[Result]]) -> Result:
    """Result of `ask`, repeated if the engine dies; for idempotent requests."""
    backoff = _RestartWait(PATIENCE)
    while True:
        try:
            return await ask()
        except EngineRestartingError as error:
            await backoff.wait(error)


class _RestartWait:
    """Counts engine failures, and waits for the restart."""

    def __init__(self, patience: RestartPatience) -> None:
        self._patience = patience
        self._count = 0
        self._give_up = math.inf

    async def wait(self, error: EngineRestartingError) -> None:
        now = asyncio.get_running_loop().time()
        if error.died_under_it:
            self._count += 1
            RESUMED.inc()
        if error.died_under_it or self._give_up == math.inf:
            self._give_up = now + self._patience.wait_seconds
        if self._count > MAX_FAILURES or now > self._give_up:
            raise error
        await asyncio.sleep(self._patience.poll_seconds)


async def _rest(engine: Engine, asked: Resumption) -> AsyncGenerator[TokenPiece, None]:
    """Pieces without the known tokens."""
    known = list(asked.known)
    async with aclosing(engine.generate(asked.request)) as pieces:
        async for piece in pieces:
            size = min(len(known), len(piece.tokens))
            if list(piece.tokens[:size]) != known[:size]:
                log.error("the restarted engine gives a different answer")
                raise UnavailableError("the engine restarted and lost this answer. Retry")
            del known[:size]
            if size < len(piece.tokens) or piece.finish_reason is not None:
                yield replace(piece, tokens=piece.tokens[size:], chosen=piece.chosen[size:])


def end_before(now: float, deadline: float) -> float:
    """When to end an answer without a token limit, on the same clock."""
    return deadline - min(MOST_SECONDS, SHARE * max(0.0, deadline - now))


async def ended_by_deadline(
    pieces: AsyncGenerator[TokenPiece, None], ends_at: float
) -> AsyncGenerator[TokenPiece, None]:
    """The pieces up to `ends_at`; the last one then has finish reason "length"."""
    clock = asyncio.get_running_loop().time
    async with aclosing(pieces):
        async for piece in pieces:
            if piece.finish_reason is None and clock() >= ends_at:
                yield replace(piece, finish_reason="length")
                return
            yield piece
