"""Scores and vectors on Triton: gathered by its dynamic batcher, beside the token streams."""

import asyncio
from pathlib import Path

import pytest
from modelmill_inference.adapters.engine_process import EngineProcess
from modelmill_inference.adapters.openvino import OpenVinoKind
from modelmill_inference.domain.generation import ContinuationScore, ScoreRequest

from tests.triton.asking import OPTIONS, client_of, loaded, models_on
from tests.triton.running import RunningTriton

SCORES = [ScoreRequest(tuple(range(3, 8 + number)), ((50, 60 + number),)) for number in range(24)]
TEXTS = [[20 + number] * (number + 1) for number in range(24)]


async def scores_of(engine: EngineProcess) -> list[list[ContinuationScore]]:
    return list(await asyncio.gather(*(engine.score(one) for one in SCORES)))


async def vectors_of(engine: EngineProcess) -> list[list[list[float]]]:
    return list(await asyncio.gather(*(engine.embed([text]) for text in TEXTS)))


async def reader_on(triton: RunningTriton) -> str:
    (name,) = [name for name in await models_on(triton) if "-reader-" in name]
    return name


async def test_concurrent_scores_and_vectors_are_read_in_batches_and_are_those_of_the_child(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    child = OpenVinoKind(OPTIONS).engine_for(build, end_tokens)
    await child.load()
    expected = await scores_of(child), await vectors_of(child)
    await child.close()

    async with loaded(triton, build, end_tokens) as engine:
        await engine.embed([[20]])
        scores, vectors = await scores_of(engine), await vectors_of(engine)

        async with client_of(triton) as client:
            statistics = await client.get_inference_statistics(await reader_on(triton))
    (stats,) = statistics.model_stats
    assert stats.inference_count >= len(SCORES) + len(TEXTS)
    assert stats.execution_count < stats.inference_count / 2
    assert max(batch.batch_size for batch in stats.batch_stats) > 4
    for got, wanted in zip(scores, expected[0], strict=True):
        assert got[0].log_likelihood == pytest.approx(wanted[0].log_likelihood, abs=1e-3)
        assert got[0].is_greedy == wanted[0].is_greedy
    for (got_vector,), (wanted_vector,) in zip(vectors, expected[1], strict=True):
        assert got_vector == pytest.approx(wanted_vector, abs=1e-4)


async def test_the_reader_comes_with_the_first_question_and_goes_with_the_engine(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens) as engine:
        assert len(await models_on(triton)) == 1
        await asyncio.gather(engine.embed([[20]]), engine.embed([[30]]))
        assert len(await models_on(triton)) == 2

    assert await models_on(triton) == []
