"""An engine of the inference service, called over its own API, in a process of its own.

Arguments: "openvino" or "triton", the build's folder, and for triton the server's URL and token.
Question: {"prompts", "in_flight", "max_new_tokens"}. Answer: {"seconds", "tokens", "pieces"}.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import uvloop
from modelmill_inference.adapters.openvino import OpenVinoKind, PipelineOptions
from modelmill_inference.adapters.triton import TritonAddress, TritonKind
from modelmill_inference.domain.generation import ModelLimits, plan_generation
from modelmill_inference.domain.sampling import SamplingOptions
from modelmill_inference.engine import Engine, EngineKind
from modelmill_inference.settings import Settings
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from tests.bench.worker import Bench

LIMITS = ModelLimits(context_tokens=2048, vocabulary=49152)
PIECE_SECONDS: float = Settings.model_fields["engine_piece_seconds"].default


class Driver:
    """Keeps so many requests at an engine as are to be in flight."""

    def __init__(self, engine: Engine, tokenizer: ChatTokenizer) -> None:
        self._engine = engine
        self._tokenizer = tokenizer

    async def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Every prompt once."""
        waiting = list(reversed(asked["prompts"]))
        counts = {"tokens": 0, "pieces": 0}

        async def one_after_another() -> None:
            while waiting:
                await self._generate(waiting.pop(), asked["max_new_tokens"], counts)

        started = time.perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(asked["in_flight"])))
        return {"seconds": time.perf_counter() - started, **counts}

    async def _generate(self, prompt: str, tokens: int, counts: dict[str, int]) -> None:
        request = plan_generation(
            self._tokenizer.encode_prompt([{"role": "user", "content": prompt}]),
            SamplingOptions(max_new_tokens=tokens),
            LIMITS,
            self._engine.abilities,
            random_seed=0,
        )
        async with aclosing(self._engine.generate(request)) as pieces:
            async for piece in pieces:
                counts["tokens"] += len(piece.tokens)
                counts["pieces"] += 1


def kind_of(name: str, *where: str) -> EngineKind:
    """The kind, with the service's default options."""
    options = PipelineOptions(piece_seconds=PIECE_SECONDS)
    if name == "openvino":
        return OpenVinoKind(options)
    url, token = where
    return TritonKind(TritonAddress(url, token), options)


async def main(name: str, folder: Path, *where: str) -> None:
    """Load, and answer questions until there are no more."""
    tokenizer = ChatTokenizer.load(folder)
    engine = kind_of(name, *where).engine_for(folder, tokenizer.eos_ids)
    await engine.load()
    try:
        driver, bench = Driver(engine, tokenizer), Bench()
        # In a thread: a model on Triton is asked for signs of life all the while.
        while (question := await asyncio.to_thread(bench.question)) is not None:
            bench.answer(await driver.answer(question))
    finally:
        await engine.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
