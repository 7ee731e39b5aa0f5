"""Engines at a running server, and what is asked of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from modelmill_inference.adapters.engine_process import EngineProcess
from modelmill_inference.adapters.openvino import EXACT, PipelineOptions
from modelmill_inference.adapters.triton import TritonAddress, TritonKind
from modelmill_inference.domain.generation import GenerationRequest
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually
from tritonclient.grpc.aio import InferenceServerClient

from tests.triton.running import TOKEN, RunningTriton

OPTIONS = PipelineOptions(properties=EXACT, hang_seconds=30.0)
IMPATIENT = replace(OPTIONS, hang_seconds=2.0)
HEADERS = {"triton-grpc-protocol-token": TOKEN}
PLAIN = GenerationRequest((20, 30, 40), max_new_tokens=8, may_gather=True)


def engine_at(
    triton: RunningTriton,
    build: Path,
    end_tokens: frozenset[int],
    *,
    token: str = TOKEN,
    options: PipelineOptions = OPTIONS,
    connect_seconds: float = 10.0,
) -> EngineProcess:
    """An engine for the build, not yet loaded."""
    address = TritonAddress(triton.url, token, connect_seconds=connect_seconds)
    return TritonKind(address, options).engine_for(build, end_tokens)


@asynccontextmanager
async def loaded(
    triton: RunningTriton,
    build: Path,
    end_tokens: frozenset[int],
    options: PipelineOptions = OPTIONS,
    connect_seconds: float = 10.0,
) -> AsyncIterator[EngineProcess]:
    """An engine that answers, until the block ends."""
    engine = engine_at(triton, build, end_tokens, options=options, connect_seconds=connect_seconds)
    await engine.load()
    try:
        yield engine
    finally:
        await engine.close()


async def tokens_of(engine: EngineProcess, asked: GenerationRequest = PLAIN) -> tuple[int, ...]:
    """A whole answer."""
    async with aclosing(engine.generate(asked)) as pieces:
        return tuple([token async for piece in pieces for token in piece.tokens])


async def tokens_once_back(engine: EngineProcess, triton: RunningTriton) -> tuple[int, ...]:
    """The answer, asked for until the engine is back."""

    async def answer() -> list[tuple[int, ...]]:
        await asyncio.to_thread(triton.revive)
        try:
            return [await tokens_of(engine)]
        except UnavailableError:
            return []

    return (await eventually(answer))[0]


async def all_of(engine: EngineProcess, asked: list[GenerationRequest]) -> list[tuple[int, ...]]:
    """Answers to requests side by side."""
    return list(await asyncio.gather(*(tokens_of(engine, one) for one in asked)))


def different(many: int, tokens: int) -> list[GenerationRequest]:
    """Requests with prompts of their own."""
    return [
        replace(PLAIN, prompt=(number + 3, 40), max_new_tokens=tokens) for number in range(many)
    ]


@asynccontextmanager
async def client_of(triton: RunningTriton) -> AsyncIterator[InferenceServerClient]:
    """Triton's own client."""
    async with InferenceServerClient(triton.url) as client:
        yield client


async def models_on(triton: RunningTriton) -> list[str]:
    """Names of the models that the server has loaded."""
    async with client_of(triton) as client:
        statistics = await client.get_inference_statistics()
    return [model.name for model in statistics.model_stats]
