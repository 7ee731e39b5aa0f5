"""Scores, vectors and log-probabilities of the openvino engine, against transformers' own."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from modelmill_inference.children import openvino_reading
from modelmill_inference.children.openvino_reading import Reader
from modelmill_inference.domain.generation import ScoreRequest
from modelmill_testkit.cancelling import cancelled_after
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .build_in_transformers import BuildInTransformers
from .engine_bench import PROMPTS, Bench, open_bench
from .support import least_cpu_seconds, resting_cpu_seconds

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

PROMPT = tuple(range(3, 303))
CONTINUATIONS = tuple(tuple(range(5 * size, 6 * size)) for size in (1, 2, 40, 1, 55, 8))
LONG = ScoreRequest(PROMPT, tuple(tuple(range(size, size + 200)) for size in range(3, 33)))
NOTHING_SET = {"device": "CPU", "properties": {}, "cache_gigabytes": 1}
PER_TOKEN = 1e-4
"""Allowed difference of a token's log-probability."""


@pytest.fixture(scope="module")
def reference(openvino_folder: Path, llama_folder: Path) -> BuildInTransformers:
    return BuildInTransformers(openvino_folder, llama_folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(openvino_folder: Path, tokenizer: ChatTokenizer) -> AsyncIterator[Bench]:
    async with open_bench("openvino", openvino_folder, tokenizer) as bench:
        yield bench


async def test_scores_are_those_of_transformers(
    bench: Bench, reference: BuildInTransformers
) -> None:
    scores = await bench.engine.score(ScoreRequest(PROMPT, CONTINUATIONS))

    for continuation, score in zip(CONTINUATIONS, scores, strict=True):
        expected = sum(reference.logprobs(PROMPT, continuation))
        allowed = PER_TOKEN * len(continuation)
        assert score.log_likelihood == pytest.approx(expected, abs=allowed)


async def test_only_what_greedy_generation_says_is_greedy(bench: Bench) -> None:
    prompt = tuple(bench.tokenizer.encode(PROMPTS[0]))
    said = tuple(await bench.tokens(PROMPTS[0], max_new_tokens=12))
    other = (*said[:-1], (said[-1] + 1) % 300)

    scores = await bench.engine.score(ScoreRequest(prompt, (said, other, said[:5])))

    assert [score.is_greedy for score in scores] == [True, False, True]


async def test_a_prompt_of_one_token_is_scored(
    bench: Bench, reference: BuildInTransformers
) -> None:
    (score,) = await bench.engine.score(ScoreRequest((7,), ((9, 11),)))

    expected = sum(reference.logprobs((7,), (9, 11)))
    assert score.log_likelihood == pytest.approx(expected, abs=2 * PER_TOKEN)


async def test_vectors_are_the_means_of_transformers_hidden_states(
    bench: Bench, reference: BuildInTransformers
) -> None:
    texts = [PROMPT, *CONTINUATIONS]

    vectors = await bench.engine.embed(texts)

    for text, vector in zip(texts, vectors, strict=True):
        assert vector == pytest.approx(reference.vector(text), abs=1e-5)


async def test_log_probabilities_of_an_answer_are_those_of_transformers(
    bench: Bench, reference: BuildInTransformers
) -> None:
    prompt = tuple(bench.tokenizer.encode(PROMPTS[1]))
    tokens = tuple(await bench.tokens(PROMPTS[1]))

    pieces = await bench.pieces(PROMPTS[1], logprobs=0)

    expected = reference.logprobs(prompt, tokens)
    chosen = [token.logprob for piece in pieces for token in piece.logprobs]
    assert chosen == pytest.approx(expected, abs=PER_TOKEN)


async def test_little_memory_for_copies_changes_no_score(
    openvino_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader({"folder": str(openvino_folder)} | NOTHING_SET)

    def scores() -> list[float]:
        work = reader.score(list(PROMPT), CONTINUATIONS)
        while True:
            try:
                next(work)
            except StopIteration as end:
                return [log_likelihood for log_likelihood, _ in end.value]

    interleaved = scores()
    monkeypatch.setattr(openvino_reading, "CACHE_BYTES", 1)

    assert scores() == pytest.approx(interleaved, rel=1e-5)


async def test_a_text_that_the_cache_has_no_room_for_is_refused(openvino_folder: Path) -> None:
    load = {"folder": str(openvino_folder)} | NOTHING_SET | {"cache_gigabytes": 1e-6}

    with pytest.raises(ValueError, match="do not fit"):
        list(Reader(load).score(list(PROMPT), CONTINUATIONS))


async def test_answers_go_on_while_much_is_scored(bench: Bench) -> None:
    scoring = asyncio.create_task(bench.engine.score(LONG))
    alone = asyncio.create_task(bench.text(PROMPTS[3]))

    answer = await alone

    assert not scoring.done()
    assert len(await scoring) == len(LONG.continuations)
    assert answer == await bench.text(PROMPTS[3])


async def test_a_score_that_nobody_waits_for_is_not_computed(bench: Bench) -> None:
    child = psutil.Process(bench.engine.pid)
    start = await resting_cpu_seconds(child)
    await bench.engine.score(LONG)
    whole = await resting_cpu_seconds(child) - start

    async def leave() -> None:
        await cancelled_after(1, bench.engine.score(LONG))

    assert await least_cpu_seconds(child, leave, enough=whole / 3) < whole / 3
