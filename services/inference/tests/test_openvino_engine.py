"""What only the engine with a process of its own can go through."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from modelmill_inference.adapters.engine_process import EngineProcess
from modelmill_inference.adapters.openvino import EXACT, OpenVinoKind, PipelineOptions
from modelmill_inference.domain.generation import GenerationRequest
from modelmill_service_kit.errors import InvalidInputError, PreconditionError, UnavailableError
from modelmill_testkit.waiting import eventually
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from prometheus_client import REGISTRY

from .support import least_cpu_seconds, resting_cpu_seconds

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = PipelineOptions(properties=EXACT, hang_seconds=4.0)
"""On a busy machine an engine that is well may say nothing for a second."""


PLAIN = GenerationRequest((20, 30, 40), max_new_tokens=8, may_gather=True)


def request(prompt: tuple[int, ...] = (20, 30, 40), tokens: int = 8) -> GenerationRequest:
    return replace(PLAIN, prompt=prompt, max_new_tokens=tokens)


def opened(folder: Path, tokenizer: ChatTokenizer, options: PipelineOptions) -> EngineProcess:
    return OpenVinoKind(options).engine_for(folder, tokenizer.eos_ids)


async def tokens_of(engine: EngineProcess, asked: GenerationRequest) -> tuple[int, ...]:
    async with aclosing(engine.generate(asked)) as pieces:
        return tuple([token async for piece in pieces for token in piece.tokens])


def generated_tokens() -> float:
    return REGISTRY.get_sample_value("modelmill_engine_tokens_total", {"engine": "openvino"}) or 0.0


async def tokens_once_back(engine: EngineProcess) -> tuple[int, ...]:
    """The answer, asked for until the engine is back."""

    async def answer() -> list[tuple[int, ...]]:
        try:
            return [await tokens_of(engine, request())]
        except UnavailableError:
            return []

    return (await eventually(answer))[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(openvino_folder: Path, tokenizer: ChatTokenizer) -> AsyncIterator[EngineProcess]:
    engine = opened(openvino_folder, tokenizer, OPTIONS)
    await engine.load()
    yield engine
    await engine.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_requests_of_a_dead_or_hung_engine_fail_typed_and_the_next_one_is_answered(
    engine: EngineProcess, number: signal.Signals
) -> None:
    before = await tokens_of(engine, request())
    pid = engine.pid
    assert pid is not None
    running = engine.generate(request(tokens=480))
    await anext(running)

    os.kill(pid, number)

    with pytest.raises(UnavailableError, match="restarting"):
        async for _ in running:
            pass
    with pytest.raises(UnavailableError, match="restarting"):
        await tokens_of(engine, request())
    assert await tokens_once_back(engine) == before
    assert engine.pid != pid
    assert not psutil.pid_exists(pid)


async def test_requests_that_are_left_cost_no_more_steps(engine: EngineProcess) -> None:
    await tokens_once_back(engine)
    child = psutil.Process(engine.pid)
    asked = [request((number + 3,), tokens=500) for number in range(4)]

    start = await resting_cpu_seconds(child)
    await asyncio.gather(*(tokens_of(engine, one) for one in asked))
    whole = await resting_cpu_seconds(child) - start

    async def leave() -> None:
        leaving = [engine.generate(one) for one in asked]
        for pieces in leaving:
            await anext(pieces)
        for pieces in leaving:
            await pieces.aclose()

    assert await least_cpu_seconds(child, leave, enough=whole / 3) < whole / 3


async def test_a_slot_is_free_as_soon_as_its_request_is_left(
    openvino_folder: Path, tokenizer: ChatTokenizer
) -> None:
    engine = opened(openvino_folder, tokenizer, replace(OPTIONS, max_sequences=1))
    await engine.load()
    # On a busy machine the engine may be far ahead of us before we look: then once more.
    for _ in range(20):
        running = engine.generate(request(tokens=500))
        await anext(running)
        waiting = asyncio.create_task(tokens_of(engine, request((5,), tokens=1)))
        await anext(running)
        left_in_time, before = not waiting.done(), generated_tokens()
        await running.aclose()
        await waiting
        # Some steps may have been under way; the whole answer would be 500.
        if left_in_time and generated_tokens() - before < 350:
            break
    else:
        pytest.fail("each time the request that was left went on to its end")
    await engine.close()


async def test_answers_side_by_side_come_in_fewer_pieces_and_say_the_same(
    openvino_folder: Path, tokenizer: ChatTokenizer
) -> None:
    # Longer than the answers on any machine: only first and last tokens do not wait.
    options = PipelineOptions(properties=EXACT, piece_seconds=60.0)
    engine = opened(openvino_folder, tokenizer, options)
    await engine.load()
    asked = [request((number + 3,), tokens=300) for number in range(4)]

    async def sizes_of(one: GenerationRequest) -> list[int]:
        async with aclosing(engine.generate(one)) as pieces:
            return [len(piece.tokens) async for piece in pieces]

    alone = [await tokens_of(engine, one) for one in asked]
    together = await asyncio.gather(*(tokens_of(engine, one) for one in asked))
    gathered = await asyncio.gather(*(sizes_of(one) for one in asked))
    watched = [replace(one, may_gather=False) for one in asked]
    one_by_one = await asyncio.gather(*(sizes_of(one) for one in watched))
    await engine.close()

    assert together == alone
    for pieces, unstopped in zip(gathered, one_by_one, strict=True):
        assert sum(pieces) == sum(unstopped)
        assert pieces[0] <= 2
        assert max(pieces) > 10
        assert len(pieces) < len(unstopped)


async def test_any_of_the_models_end_tokens_ends_an_answer(
    openvino_folder: Path, llama_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(llama_folder, tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [*range(384)]}))
    engine = opened(openvino_folder, ChatTokenizer.load(folder), OPTIONS)
    await engine.load()

    async with aclosing(engine.generate(request())) as pieces:
        answer = [piece async for piece in pieces]
    await engine.close()

    assert [(len(piece.tokens), piece.finish_reason) for piece in answer] == [(1, "stop")]


HOSTILE = [
    request(prompt=()),
    request(tokens=0),
    replace(PLAIN, temperature=-1.0),
    replace(PLAIN, temperature=1.0, top_p=7.0),
    replace(PLAIN, temperature=1e-45),
    replace(PLAIN, temperature=1.0, seed=2**64),
    replace(PLAIN, prompt=(2**63,)),
]


async def test_requests_that_slip_through_the_checks_harm_nobody_beside_them(
    engine: EngineProcess,
) -> None:
    expected = await tokens_once_back(engine)
    pid = engine.pid

    for hostile in HOSTILE:
        healthy = asyncio.create_task(tokens_of(engine, request()))
        with suppress(InvalidInputError):
            await tokens_of(engine, hostile)
        assert await healthy == expected, hostile

    assert engine.pid == pid


async def test_a_folder_that_is_no_build_is_refused_typed(
    llama_folder: Path, tokenizer: ChatTokenizer
) -> None:
    engine = opened(llama_folder, tokenizer, OPTIONS)

    with pytest.raises(PreconditionError, match="refused the model"):
        await engine.load()
    await engine.close()


async def test_an_engine_that_keeps_dying_gives_up(
    openvino_folder: Path, tokenizer: ChatTokenizer
) -> None:
    engine = opened(openvino_folder, tokenizer, replace(OPTIONS, max_failures=1))
    await engine.load()
    first = engine.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    await eventually(lambda: engine.pid not in (None, first))
    os.kill(engine.pid or 0, signal.SIGKILL)

    assert "2 times in a row" in await asyncio.wait_for(engine.until_broken(), 60)
    await engine.close()
