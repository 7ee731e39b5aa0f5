"""What dies under a triton engine, and what its callers see of it."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually

from tests.triton.asking import (
    IMPATIENT,
    OPTIONS,
    PLAIN,
    engine_at,
    loaded,
    models_on,
    tokens_of,
    tokens_once_back,
)
from tests.triton.running import ROOT, RunningTriton, has_ended, running_triton


@pytest.fixture
def triton(tmp_path: Path) -> Iterator[RunningTriton]:
    """A server for each test: what was killed may take it along, sooner or later."""
    with running_triton(tmp_path / "log") as triton:
        yield triton
        triton.kill()


LONG = replace(PLAIN, max_new_tokens=500)


async def test_streams_of_a_killed_model_fail_typed_and_the_next_request_is_answered(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens) as engine:
        before = await tokens_of(engine)
        stub = await triton.only_stub()
        pieces = engine.generate(LONG)
        await anext(pieces)

        stub.kill()

        with pytest.raises(UnavailableError, match="restarting"):
            async for _ in pieces:
                pass
        assert await tokens_once_back(engine, triton) == before


async def test_a_model_that_dies_idle_is_replaced_before_anyone_asks(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens) as engine:
        (first,) = await models_on(triton)
        stub = await triton.only_stub()

        stub.kill()

        async def replaced() -> bool:
            await asyncio.to_thread(triton.revive)
            names = await models_on(triton)
            return bool(names) and first not in names

        await eventually(replaced)
        assert await tokens_once_back(engine, triton)


async def test_a_hung_model_is_replaced(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens, IMPATIENT) as engine:
        before = await tokens_of(engine)
        stub = await triton.only_stub()
        pieces = engine.generate(LONG)
        await anext(pieces)

        stub.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(UnavailableError, match="restarting"):
                async for _ in pieces:
                    pass
            assert await tokens_once_back(engine, triton) == before
        finally:
            stub.kill()


async def test_requests_fail_typed_while_the_server_is_away_and_succeed_when_it_is_back(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens) as engine:
        before = await tokens_of(engine)
        pieces = engine.generate(LONG)
        await anext(pieces)

        triton.kill()
        with pytest.raises(UnavailableError, match="restarting"):
            async for _ in pieces:
                pass
        with pytest.raises(UnavailableError, match="restarting"):
            await tokens_of(engine)
        await asyncio.to_thread(triton.start)

        assert await tokens_once_back(engine, triton) == before


async def test_an_engine_whose_server_stays_away_gives_up(
    triton: RunningTriton,
    build: Path,
    end_tokens: frozenset[int],
) -> None:
    options = replace(OPTIONS, max_failures=2)
    try:
        async with loaded(triton, build, end_tokens, options, connect_seconds=0.2) as engine:
            triton.kill()

            assert "3 times in a row" in await asyncio.wait_for(engine.until_broken(), 60)
        never = engine_at(triton, build, end_tokens, connect_seconds=0.2)
        with pytest.raises(UnavailableError, match="did not answer"):
            await never.load()
        await never.close()
    finally:
        await asyncio.to_thread(triton.revive)


async def test_a_model_whose_service_is_gone_frees_its_memory_and_its_name_is_swept_away(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    service = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.triton.service_to_kill", triton.url, str(build)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert service.stdout is not None
    name = (await service.stdout.readline()).decode().strip()
    abandoned = await triton.only_stub()

    service.kill()
    await service.wait()

    await eventually(lambda: has_ended(abandoned))
    assert name in await models_on(triton)
    async with loaded(triton, build, end_tokens):
        assert name not in await models_on(triton)


async def test_a_killed_reader_costs_its_questions_and_no_stream(
    triton: RunningTriton, build: Path, end_tokens: frozenset[int]
) -> None:
    async with loaded(triton, build, end_tokens) as engine:
        before = await engine.embed([[20]])
        plain = await tokens_of(engine)
        engine_stub, reader_stub = await triton.these_stubs(2)
        running = asyncio.create_task(tokens_of(engine))

        reader_stub.kill()

        with pytest.raises(UnavailableError, match="Retry"):
            await engine.embed([[20]])
        assert await running == plain

        async def once_back() -> list[list[float]]:
            await asyncio.to_thread(triton.revive)
            try:
                return await engine.embed([[20]])
            except UnavailableError:
                return []

        again = await eventually(once_back)
        assert again == [pytest.approx(before[0], abs=1e-4)]
        assert engine_stub in triton.stubs()
