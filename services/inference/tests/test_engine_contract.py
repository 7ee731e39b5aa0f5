"""One suite for every engine; what it cannot show is that a text is what the model means."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from inference.adapters.openvino_process import OpenVinoKind, PipelineOptions
from inference.domain.generation import (
    ModelLimits,
    SamplingOptions,
    TextPiece,
    plan_generation,
)
from inference.load_version import Engine
from service_kit.errors import UnavailableError
from tokenization.chat_tokenizer import ChatTokenizer

from .fakes import FakeKind
from .support import F32

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPTIONS = PipelineOptions(properties=F32, piece_seconds=0.02)
LIMITS = ModelLimits(context_tokens=512, vocabulary=384)
PROMPTS = [f"the kind of animal number {number}, 价格 {number * 37}" for number in range(8)]


class Bench:
    """An engine and short ways to use it."""

    def __init__(self, engine: Engine, tokenizer: ChatTokenizer) -> None:
        self.engine = engine
        self._tokenizer = tokenizer

    def stream(self, prompt: str, **options: Any) -> Any:
        ids = self._tokenizer.encode(prompt)
        request = plan_generation(
            ids, SamplingOptions(**({"max_new_tokens": 24} | options)), LIMITS, random_seed=1
        )
        return self.engine.generate(request)

    async def pieces(self, prompt: str, **options: Any) -> list[TextPiece]:
        async with aclosing(self.stream(prompt, **options)) as pieces:
            return [piece async for piece in pieces]

    async def text(self, prompt: str, **options: Any) -> str:
        return "".join(piece.text for piece in await self.pieces(prompt, **options))


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["fake", pytest.param("openvino", marks=pytest.mark.heavy)],
)
async def bench(request: pytest.FixtureRequest, tokenizer: ChatTokenizer) -> AsyncIterator[Bench]:
    kinds = {"fake": FakeKind(), "openvino": OpenVinoKind(OPTIONS)}
    folder = Path()
    if request.param == "openvino":
        folder = request.getfixturevalue("openvino_folder")
    engine = kinds[request.param].engine_for(folder, tokenizer)
    await engine.load()
    yield Bench(engine, tokenizer)
    await engine.close()
    with pytest.raises(UnavailableError):
        await Bench(engine, tokenizer).pieces("after the end")


async def test_it_generates_up_to_the_limit_and_says_so(bench: Bench) -> None:
    pieces = await bench.pieces(PROMPTS[0], max_new_tokens=9)

    assert sum(piece.tokens for piece in pieces) <= 9
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].finish_reason in ("length", "stop")
    assert any(piece.text for piece in pieces)


async def test_greedy_answers_repeat(bench: Bench) -> None:
    assert await bench.text(PROMPTS[1]) == await bench.text(PROMPTS[1])


async def test_a_seed_repeats_an_answer_and_another_seed_changes_it(bench: Bench) -> None:
    answers = [
        await bench.text(PROMPTS[2], temperature=1.0, seed=seed) for seed in (5, 5, 6, 2**64 - 1)
    ]

    assert answers[0] == answers[1]
    assert len(set(answers)) == 3


async def test_an_answer_ends_before_its_stop_text(bench: Bench) -> None:
    whole = await bench.text(PROMPTS[3])
    stop = whole[8:11]

    pieces = await bench.pieces(PROMPTS[3], stop=(stop, "never to be seen"))

    assert "".join(piece.text for piece in pieces) == whole[: whole.index(stop)]
    assert pieces[-1].finish_reason == "stop"


async def test_requests_side_by_side_get_what_they_get_alone(bench: Bench) -> None:
    alone = [await bench.text(prompt) for prompt in PROMPTS]

    together = await asyncio.gather(*(bench.text(prompt) for prompt in PROMPTS))

    assert together == alone
    assert len(set(alone)) == len(alone)


async def test_a_request_that_is_left_leaves_the_others_alone(bench: Bench) -> None:
    alone = await bench.text(PROMPTS[4])
    healthy = asyncio.create_task(bench.text(PROMPTS[4]))
    for prompt in PROMPTS[5:]:
        async with aclosing(bench.stream(prompt, max_new_tokens=400)) as pieces:
            await anext(pieces)

    assert await healthy == alone


async def test_a_prompt_of_the_whole_context_leaves_one_token(bench: Bench) -> None:
    prompt = "9" * (LIMITS.context_tokens - 1)

    pieces = await bench.pieces(prompt, max_new_tokens=100)

    assert sum(piece.tokens for piece in pieces) == 1
