"""Requests that outlive the engine's process: it dies, comes back, and the answer goes on.

Only a few times: a request that kills its engine would take its neighbours with it for ever.
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
MAX_DEATHS = 2
"""Of the engine during one request; the next one is the caller's to see."""
Result = TypeVar("Result")
SHARE = 0.05
MOST_SECONDS = 2.0
"""Kept of a request's time for what comes behind the engine."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """What to ask the new engine for, and what of it the caller has already."""

    request: GenerationRequest
    known: tuple[int, ...]
    """Tokens that the new answer begins with; if it does not, it is another answer."""


def resume(request: GenerationRequest, told: Sequence[int], *, exact: bool) -> Resumption:
    """The rest of an answer of which `told` was handed out.

    An exact engine says the same again: it is asked anew, and what is known is left out. Another
    one may choose other words, which would not fit what was told; it goes on behind that instead.
    Where that would be another request (a grammar that is half done, penalties that count only
    generated tokens), it too is asked anew, and held to what was told.
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
class EnginePatience:
    """What a request has for an engine that died."""

    wait_seconds: float = 30.0
    """How long it may take to come back."""
    look_seconds: float = 0.05
    """Between two looks whether it has."""


PATIENCE = EnginePatience()


async def resumed(
    engine: Engine, request: GenerationRequest, patience: EnginePatience = PATIENCE
) -> AsyncGenerator[TokenPiece, None]:
    """The answer as by `engine.generate`, also when the engine dies under it.

    Raises:
        EngineRestartingError: it died too often, or did not come back.
        UnavailableError: it would now say something else than it has said already.
    """
    told: list[int] = []
    deaths = _Deaths(patience)
    while len(told) < request.max_new_tokens:
        asked = resume(request, told, exact=engine.abilities.exact)
        try:
            async with aclosing(_rest(engine, asked)) as pieces:
                async for piece in pieces:
                    told += piece.tokens
                    yield piece
            return
        except EngineRestartingError as error:
            await deaths.wait(error)
    yield TokenPiece((), "length")


async def asked_again(ask: Callable[[], Awaitable[Result]]) -> Result:
    """What `ask` gives, asked again when the engine died; for questions that change nothing."""
    deaths = _Deaths(PATIENCE)
    while True:
        try:
            return await ask()
        except EngineRestartingError as error:
            await deaths.wait(error)


class _Deaths:
    """Counts them, and gives the engine time to come back."""

    def __init__(self, patience: EnginePatience) -> None:
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
        if self._count > MAX_DEATHS or now > self._give_up:
            raise error
        await asyncio.sleep(self._patience.look_seconds)


async def _rest(engine: Engine, asked: Resumption) -> AsyncGenerator[TokenPiece, None]:
    """Pieces without what is known of them."""
    known = list(asked.known)
    async with aclosing(engine.generate(asked.request)) as pieces:
        async for piece in pieces:
            size = min(len(known), len(piece.tokens))
            if list(piece.tokens[:size]) != known[:size]:
                log.error("the engine came back and says something else")
                raise UnavailableError("the engine restarted and lost this answer. Retry")
            del known[:size]
            if size < len(piece.tokens) or piece.finish_reason is not None:
                yield replace(piece, tokens=piece.tokens[size:], chosen=piece.chosen[size:])


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
