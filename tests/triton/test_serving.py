"""What a triton engine and its server do for callers, good and bad."""

import asyncio
import json
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from modelmill_service_kit.errors import InvalidInputError, PreconditionError
from modelmill_testkit.waiting import eventually
from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException

from tests.triton.asking import (
    HEADERS,
    PLAIN,
    all_of,
    client_of,
    different,
    engine_at,
    loaded,
    models_on,
    tokens_of,
)
from tests.triton.running import RunningTriton


async def test_a_loaded_model_is_ready_and_gone_with_its_engine(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with client_of(triton) as client:
        async with loaded(triton, build, end_tokens) as engine:
            (name,) = await models_on(triton)

            assert await client.is_model_ready(name)
            assert engine.abilities.exact
            assert engine.abilities.grammar

        assert not await client.is_model_ready(name)
        assert await client.is_server_ready()
    await eventually(lambda: not triton.stubs())


async def test_two_engines_on_one_server_do_not_know_of_each_other(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens) as stays:
        async with loaded(triton, build, end_tokens) as goes:
            asked = different(4, 40)
            both = await asyncio.gather(all_of(stays, asked), all_of(goes, asked))
            running = asyncio.create_task(all_of(stays, different(4, 200)))
            await tokens_of(stays)

        assert both[0] == both[1]
        assert all(await running)


async def test_eight_streams_at_once_say_what_each_says_alone(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens) as engine:
        asked = different(8, 60)
        alone = [await tokens_of(engine, one) for one in asked]

        assert await all_of(engine, asked) == alone
        assert len(set(alone)) == 8


async def test_requests_that_are_left_cost_no_more_steps(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens) as engine:
        stub = await triton.only_stub()
        asked = different(4, 500)
        start = await rested(stub)
        await all_of(engine, asked)
        whole = await rested(stub)

        leaving = [engine.generate(one) for one in asked]
        for pieces in leaving:
            await anext(pieces)
        for pieces in leaving:
            await pieces.aclose()

        assert await rested(stub) - whole < (whole - start) / 3


async def rested(process: psutil.Process) -> float:
    """CPU seconds of a process that has nothing to do but to say that it lives."""
    while True:
        before = sum(process.cpu_times()[:2])
        await asyncio.sleep(0.2)
        spent = sum(process.cpu_times()[:2])
        if spent - before < 0.03:
            return spent


HOSTILE = [
    replace(PLAIN, prompt=()),
    replace(PLAIN, max_new_tokens=0),
    replace(PLAIN, temperature=-1.0),
    replace(PLAIN, temperature=1.0, top_p=7.0),
    replace(PLAIN, temperature=1e-45),
    replace(PLAIN, temperature=1.0, seed=2**64),
    replace(PLAIN, prompt=(2**63,)),
]
RAW = ["", "{", "[]", "{}", '{"add": 1}', '{"dance": {}}', '{"add": {}}', '{"cancel": 1}', "\x00"]


async def test_bad_requests_are_refused_typed_and_harm_nobody_beside_them(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens) as engine:
        expected = await tokens_of(engine)
        before = await triton.only_stub()
        for hostile in HOSTILE:
            healthy = asyncio.create_task(tokens_of(engine))
            with suppress(InvalidInputError):
                await tokens_of(engine, hostile)
            assert await healthy == expected, hostile

        (name,) = await models_on(triton)
        for text in RAW:
            (row,) = await rows_for(triton, name, text)
            assert "rejected" in row, text
        assert await tokens_of(engine) == expected
        assert triton.stubs() == [before]


async def rows_for(triton: RunningTriton, name: str, text: str) -> list[dict[str, Any]]:
    """What the model says to a message that is not ours."""
    tensor = InferInput("request", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode()], dtype=np.object_))

    async def once() -> Any:
        yield {"model_name": name, "inputs": [tensor]}

    async with client_of(triton) as client:
        rows = []
        async for result, error in client.stream_infer(once(), headers=HEADERS):
            assert error is None
            rows.append(json.loads(result.as_numpy("row")[0]))
        return rows


async def test_a_folder_that_is_no_build_is_refused_typed(
    triton: RunningTriton, llama: Path, end_tokens: frozenset[int]
) -> None:
    engine = engine_at(triton, llama, end_tokens)

    with pytest.raises(PreconditionError, match="refused the model"):
        await engine.load()
    await engine.close()
    assert await models_on(triton) == []


@pytest.mark.parametrize("token", ["", "guessed"])
async def test_without_the_token_nothing_is_loaded_and_nothing_runs(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int], token: str
) -> None:
    engine = engine_at(triton, build, end_tokens, token=token)
    with pytest.raises(PreconditionError, match="refused"):
        await engine.load()
    await engine.close()

    async with client_of(triton) as client, loaded(triton, build, end_tokens):
        (name,) = await models_on(triton)
        with pytest.raises(InferenceServerException, match="restricted"):
            await client.load_model(name)
        statistics = await client.get_inference_statistics(name)
        assert statistics.model_stats[0].name == name


async def test_an_engine_that_is_closed_in_mid_answer_ends_it_and_its_model(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens) as engine:
        running = engine.generate(replace(PLAIN, max_new_tokens=500))
        await anext(running)
    async with aclosing(running):
        with pytest.raises(Exception, match="stopped"):
            async for _ in running:
                pass

    assert await models_on(triton) == []
