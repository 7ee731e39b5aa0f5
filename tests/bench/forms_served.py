"""Tokens per second and memory of forms in the engines that serve them, taking turns."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
from modelmill_inference.adapters.engine_process import EngineProcess
from modelmill_inference.adapters.onnx import OnnxKind, OnnxOptions
from modelmill_inference.adapters.openvino import OpenVinoKind, PipelineOptions
from modelmill_inference.adapters.transformers import TransformersKind, TransformersOptions
from modelmill_inference.engine import Engine, EngineKind

from tests.bench.engines import generated, greedy, random_tokens
from tests.bench.forms_cells import ONNX, OPENVINO, TRANSFORMERS

PROMPT, NEW_TOKENS = 64, 64
TURNS = {1: 6, 8: 2, 32: 1}
"""Answers that each request in flight waits for, by how many there are."""
RATE = "tokens/s"
KINDS: Mapping[str, Callable[[], EngineKind]] = {
    OPENVINO: lambda: OpenVinoKind(PipelineOptions()),
    ONNX: lambda: OnnxKind(OnnxOptions()),
    TRANSFORMERS: lambda: TransformersKind(TransformersOptions()),
}
SLOW = {TRANSFORMERS: 1}
"""Requests in flight at most, where more take minutes a round."""


@asynccontextmanager
async def _loaded(engine: str, folder: Path) -> AsyncIterator[EngineProcess]:
    served = KINDS[engine]().engine_for(folder, frozenset(), None)
    if not isinstance(served, EngineProcess):
        raise TypeError(f"engine {engine} has no process of its own")
    await served.load()
    try:
        yield served
    finally:
        await served.close()


async def rates_in_flight(
    folders: Mapping[str, tuple[str, Path]],
    in_flight: int,
    rounds: int,
    new_tokens: int,
    on_round: Callable[[str, int], None],
) -> dict[str, dict[str, list[float]]]:
    """Rates by round and memory of each form, the first round left out.

    Args:
        folders: By name, the engine and the folder that it reads.
        on_round: Told whose turn it is.
    """
    draw = random.Random(in_flight)
    rates: dict[str, list[float]] = {name: [] for name in folders}
    memory: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        engines = {
            name: await stack.enter_async_context(_loaded(engine, folder))
            for name, (engine, folder) in folders.items()
            if in_flight <= SLOW.get(engine, in_flight)
        }
        for number in range(rounds + 1):
            for name, engine in engines.items():
                on_round(name, number)
                rate = await _rate(engine, draw, in_flight, new_tokens)
                if number:
                    rates[name].append(rate)
        for name, engine in engines.items():
            used = psutil.Process(engine.pid).memory_full_info()
            memory[name] = [used.rss, used.uss]
    measured = {name: each for name, each in rates.items() if each}
    return {"rates": measured, "memory": memory}


async def _rate(engine: Engine, draw: random.Random, in_flight: int, new_tokens: int) -> float:
    prompts: Sequence[Sequence[list[int]]] = [
        [random_tokens(draw, PROMPT) for _ in range(TURNS[in_flight])] for _ in range(in_flight)
    ]

    async def client(texts: Sequence[list[int]]) -> int:
        return sum([await generated(engine, greedy(text, new_tokens)) for text in texts])

    began = time.perf_counter()
    tokens = sum(await asyncio.gather(*map(client, prompts)))
    return tokens / (time.perf_counter() - began)
