"""Engines of inference in the bench's own hands: token ids in and out, no service around them."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from modelmill_inference.adapters.engine_process import EngineProcess
from modelmill_inference.adapters.openvino import OpenVinoKind, PipelineOptions
from modelmill_inference.domain.generation import GenerationRequest
from modelmill_inference.engine import Engine

FIRST_TOKEN, LAST_TOKEN = 1_000, 40_000
"""Ordinary tokens of the model that everything is measured with."""


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[EngineProcess]:
    """The openvino engine with its defaults, until the block ends; no token ends its answers."""
    engine = OpenVinoKind(PipelineOptions()).engine_for(folder, frozenset())
    await engine.load()
    try:
        yield engine
    finally:
        await engine.close()


def random_tokens(draw: random.Random, count: int) -> list[int]:
    """A text that no cache has."""
    return [draw.randrange(FIRST_TOKEN, LAST_TOKEN) for _ in range(count)]


def greedy(prompt: Sequence[int], new_tokens: int) -> GenerationRequest:
    """A request for so many tokens."""
    return GenerationRequest(tuple(prompt), new_tokens)


async def generated(engine: Engine, request: GenerationRequest) -> int:
    """Answer it; the number of tokens."""
    async with aclosing(engine.generate(request)) as pieces:
        return sum([len(piece.tokens) async for piece in pieces])
