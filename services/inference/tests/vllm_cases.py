"""A plain request to an engine of vLLM, and what the fake server answers it."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from modelmill_inference.adapters.vllm import VllmEngine
from modelmill_inference.domain.generation import GenerationRequest

from .fake_vllm import token_after

END = frozenset({2})
PLAIN = GenerationRequest((20, 30, 40), max_new_tokens=8, may_gather=True)


def starting_with(token: int, tokens: int = 8) -> GenerationRequest:
    return replace(PLAIN, prompt=(token, 30), max_new_tokens=tokens)


async def tokens_of(engine: VllmEngine, asked: GenerationRequest = PLAIN) -> tuple[int, ...]:
    async with aclosing(engine.generate(asked)) as pieces:
        return tuple([token async for piece in pieces for token in piece.tokens])


def expected(model: str, asked: GenerationRequest = PLAIN) -> tuple[int, ...]:
    context = asked.prompt
    for _ in range(asked.max_new_tokens):
        context += (token_after(model, context),)
    return context[len(asked.prompt) :]


@asynccontextmanager
async def loaded(engine: VllmEngine) -> AsyncIterator[VllmEngine]:
    try:
        await engine.load()
        yield engine
    finally:
        await engine.close()
