"""An engine dies under a request, and the caller sees one whole answer."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_inference.domain.generation import GenerationRequest, ScoreRequest, TokenPiece
from modelmill_inference.engine import EngineRestartingError
from modelmill_inference.resumed_answer import (
    MAX_FAILURES,
    RestartPatience,
    resume,
    resumed,
    retried,
)
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually

from .fakes import FakeEngine

PLAIN = GenerationRequest((20, 30, 40), max_new_tokens=12, may_gather=True)


class DyingEngine(FakeEngine):
    """Dies after so many tokens of each life, and is away for a while."""

    def __init__(self, *lives: int, exact: bool = True, away: int = 3) -> None:
        super().__init__()
        self.abilities = replace(FakeEngine.abilities, exact=exact)
        self.asked: list[GenerationRequest] = []
        self._lives = list(lives)
        self._away = away
        self._looks = 0

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenPiece, None]:
        if self._looks:
            self._looks -= 1
            raise EngineRestartingError
        self.asked.append(request)
        left = self._lives.pop(0) if self._lives else 10**9
        async for piece in super().generate(request):
            if not left:
                self._looks = self._away
                raise EngineRestartingError(died_under_it=True)
            left -= 1
            yield piece


OFTEN = RestartPatience(poll_seconds=0.001)


async def answer(
    engine: FakeEngine, request: GenerationRequest = PLAIN, patience: RestartPatience = OFTEN
) -> tuple[list[int], str]:
    pieces = [piece async for piece in resumed(engine, request, patience)]
    ends = [piece.finish_reason for piece in pieces if piece.finish_reason]
    assert len(ends) == 1
    assert pieces[-1].finish_reason
    return [token for piece in pieces for token in piece.tokens], ends[0]


@pytest.mark.parametrize("lives", [(0,), (5,), (11,), (5, 2), (3, 7)])
async def test_an_exact_engines_answer_is_the_same_as_if_it_had_not_died(
    lives: Sequence[int],
) -> None:
    request = replace(PLAIN, temperature=1.0, seed=7)
    whole = await answer(FakeEngine(), request)

    assert await answer(DyingEngine(*lives), request) == whole


async def test_another_engine_goes_on_behind_what_it_has_said() -> None:
    engine = DyingEngine(5, exact=False)

    tokens, reason = await answer(engine)

    assert (len(tokens), reason) == (12, "length")
    first, second = engine.asked
    assert second.prompt == (*first.prompt, *tokens[:5])
    assert second.max_new_tokens == 7


async def test_an_engine_that_would_now_say_something_else_fails_typed() -> None:
    engine = DyingEngine(5, exact=True)
    pieces = resumed(engine, PLAIN)
    await anext(pieces)

    engine.adapter = Path("another model")

    with pytest.raises(UnavailableError, match="lost this answer"):
        async for _ in pieces:
            pass


async def test_a_request_that_always_kills_its_engine_is_given_up() -> None:
    engine = DyingEngine(*[0] * 50)

    with pytest.raises(EngineRestartingError):
        await answer(engine)

    assert len(engine.asked) == MAX_FAILURES + 1


async def test_an_engine_that_does_not_come_back_is_given_up() -> None:
    with pytest.raises(EngineRestartingError):
        await answer(DyingEngine(4, away=10**9), patience=replace(OFTEN, wait_seconds=0.02))


async def test_leaving_while_the_engine_is_away_ends_the_wait() -> None:
    engine = DyingEngine(0, away=10**9)
    reading = asyncio.create_task(answer(engine))
    await eventually(lambda: engine.asked)

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading
    assert engine.in_flight == 0


async def test_a_score_is_asked_for_again() -> None:
    backoff = [EngineRestartingError(died_under_it=True), EngineRestartingError()]
    engine = FakeEngine()
    request = ScoreRequest((1, 2), ((3,),))

    async def ask() -> object:
        if backoff:
            raise backoff.pop(0)
        return await engine.score(request)

    assert await retried(ask) == await engine.score(request)


TOLD = st.lists(st.integers(0, 383), max_size=11)


@given(TOLD, st.booleans(), st.sampled_from(["", "root ::= [a-z]+"]), st.sampled_from([0.0, 1.5]))
def test_what_is_told_and_what_is_asked_for_make_the_limit_together(
    told: list[int], exact: bool, grammar: str, penalty: float
) -> None:
    request = replace(PLAIN, grammar=grammar, presence_penalty=penalty)

    again = resume(request, told, exact=exact)

    behind = len(again.request.prompt) - len(request.prompt)
    assert behind + len(again.known) == len(told)
    assert behind + again.request.max_new_tokens == request.max_new_tokens
    if exact or grammar or penalty:
        assert again.request == request
