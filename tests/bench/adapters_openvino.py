"""adapters.openvino: tokens a second of four adapters at once, over the base alone.

Value: generated tokens / seconds with two requests in flight at each of four LoRA adapters (rank
16, query and value projections, random weights) upon one base, each adapter an openvino engine of
its own. Denominator (the floor): eight in flight at one engine of the base without an adapter. Both
hold the same number of requests, of 64 tokens prompt and 64 new tokens. SmolLM2-135M, int8 weights,
the engines' defaults, no service around them; greedy, random prompts, none twice. Rival: none.
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import psutil
from inference.adapters.engine_process import EngineProcess
from safetensors.numpy import save_file

from tests.bench.built_model import built_model
from tests.bench.engines import generated, greedy, opened, random_tokens
from tests.bench.figures import Figures, Line
from tests.bench.harness import Group, Run

ID = "adapters.openvino"
ADAPTERS, EACH = 4, 2
PROMPT, NEW_TOKENS, RANK = 64, 64, 16
RATE = "tokens/s"
SECONDS, PREPARE_SECONDS = 70.0, 15.0


def write_adapter(base: Path, folder: Path, seed: int) -> Path:
    """A LoRA adapter with random weights, as PEFT writes it."""
    config = json.loads((base / "config.json").read_text())
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    narrow = hidden // heads * config["num_key_value_heads"]
    draw = np.random.default_rng(seed)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for module, size in (("q_proj", hidden), ("v_proj", narrow)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            for end, shape in (("lora_A", (RANK, hidden)), ("lora_B", (size, RANK))):
                values = draw.standard_normal(shape).astype(np.float32) * 0.02
                tensors[f"{name}.{end}.weight"] = values
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": 2 * RANK, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


async def measure(run: Run) -> list[Line]:
    """One entry."""
    model = await built_model(run)
    draw = random.Random(ID)
    turns = run.pick(4, 1)

    async def client(engine: EngineProcess) -> int:
        tokens = 0
        for _ in range(turns):
            tokens += await generated(engine, greedy(random_tokens(draw, PROMPT), NEW_TOKENS))
        return tokens

    async def rate(engines: Sequence[EngineProcess]) -> Figures:
        began = time.perf_counter()
        tokens = sum(await asyncio.gather(*map(client, engines)))
        return {RATE: tokens / (time.perf_counter() - began)}

    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base = await stack.enter_async_context(opened(model.int8))
        folders = [write_adapter(model.int8, place / str(seed), seed) for seed in range(ADAPTERS)]
        adapted = [
            await stack.enter_async_context(opened(model.int8, folder)) for folder in folders
        ]
        contestants = {
            "ours": lambda: rate(EACH * adapted),
            "floor": lambda: rate(EACH * ADAPTERS * [base]),
        }
        rounds = await run.interleaved(ID, contestants, seconds=SECONDS, steady=[RATE])
        sizes = [_own_megabytes(engine) for engine in (base, *adapted)]
    note = f"base {rounds.median('floor', RATE):.0f} tokens/s; own memory of the base's engine "
    note += f"{sizes[0]:.0f} MB, of each adapter's {max(sizes[1:]):.0f} MB at most"
    against = "the base alone, as many in flight"
    return [rounds.line(ID, RATE, unit=RATE, against=against, goal=None, note=note)]


def _own_megabytes(engine: EngineProcess) -> float:
    """What would be free without it: pages that no other process has."""
    return float(psutil.Process(engine.pid).memory_full_info().uss) / 1e6


GROUP = Group((ID,), measure, PREPARE_SECONDS + SECONDS)
