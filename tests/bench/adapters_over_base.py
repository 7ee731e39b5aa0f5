"""adapters.<engine>: tokens a second of four adapters at once, over the base alone.

Value: generated tokens / seconds with two requests in flight at each of four LoRA adapters (rank
16, query and value projections, random weights) upon one base. Denominator (the floor): eight in
flight at the base without an adapter. Both hold the same number of requests, of 64 tokens prompt
and 64 new tokens (16 where four adapters make a few tokens a second). SmolLM2-135M, the engines'
defaults, no service around them; greedy, random prompts, none twice. Rival: none.

openvino: int8 weights, each adapter an engine of its own. transformers: float32, the same.
vllm: bf16 weights, one server that has base and adapters in one batch, in build/vllm.
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from modelmill_inference.adapters.engine_process import EngineProcess
from modelmill_inference.adapters.openvino import OpenVinoKind, PipelineOptions
from modelmill_inference.adapters.transformers import TransformersKind, TransformersOptions
from modelmill_inference.adapters.vllm import VllmKind
from modelmill_inference.adapters.vllm_server import VllmOptions
from modelmill_inference.engine import Engine, EngineKind
from safetensors.numpy import save_file

from tests.bench.built_model import BuiltModel, built_model
from tests.bench.engines import generated, greedy, random_tokens
from tests.bench.figures import Figures, Line, Unmeasured
from tests.bench.harness import Group, Run
from tests.bench.rival_vllm import SERVER
from tests.bench.rivals import VLLM, absence, is_installed

ADAPTERS, EACH = 4, 2
PROMPT, RANK = 64, 16
RATE = "tokens/s"
PREPARE_SECONDS = 15.0


@dataclass(frozen=True)
class Served:
    """An engine, and how long it is asked."""

    name: str
    kind: Callable[[], EngineKind]
    folder: Callable[[BuiltModel], Path]
    turns: int
    """Answers that each of the eight waits for."""
    seconds: float
    new_tokens: int = 64
    environment: Path | None = None

    @property
    def entry_id(self) -> str:
        """Of its entry."""
        return f"adapters.{self.name}"


def _transformers() -> EngineKind:
    return TransformersKind(TransformersOptions())


def _vllm() -> EngineKind:
    return VllmKind(VllmOptions(command=f"{VLLM.absolute()}/bin/python -m {SERVER}"))


SERVED = (
    Served("openvino", lambda: OpenVinoKind(PipelineOptions()), lambda model: model.int8, 4, 310.0),
    Served("transformers", _transformers, lambda model: model.base, 1, 280.0, 16),
    Served("vllm", _vllm, lambda model: model.base, 1, 280.0, 16, VLLM),
)


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
    settings |= {"target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


async def measure(run: Run) -> list[Line]:
    """An entry for each engine that is wanted and there."""
    model = await built_model(run)
    lines: list[Line] = []
    for served in SERVED:
        if served.entry_id not in run.wanted:
            continue
        if served.environment and not is_installed(served.environment):
            lines.append(Unmeasured(served.entry_id, absence(served.environment), True))
        else:
            lines.append(await _beside_base(run, served, served.folder(model)))
    return lines


async def _beside_base(run: Run, served: Served, model: Path) -> Line:
    draw = random.Random(served.entry_id)
    turns, new_tokens = run.pick(served.turns, 1), run.pick(served.new_tokens, 8)

    async def client(engine: Engine) -> int:
        tokens = 0
        for _ in range(turns):
            tokens += await generated(engine, greedy(random_tokens(draw, PROMPT), new_tokens))
        return tokens

    async def rate(engines: Sequence[Engine]) -> Figures:
        began = time.perf_counter()
        tokens = sum(await asyncio.gather(*map(client, engines)))
        return {RATE: tokens / (time.perf_counter() - began)}

    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kind = served.kind()
        base = await stack.enter_async_context(_loaded(kind, model))
        folders = [write_adapter(model, place / str(seed), seed) for seed in range(ADAPTERS)]
        adapted = [await stack.enter_async_context(_loaded(kind, model, one)) for one in folders]
        contestants = {
            "ours": lambda: rate(EACH * adapted),
            "floor": lambda: rate(EACH * ADAPTERS * [base]),
        }
        rounds = await run.interleaved(
            *(served.entry_id, contestants), seconds=served.seconds, steady=[RATE]
        )
        note = f"base {rounds.median('floor', RATE):.0f} tokens/s; {_memory(base, adapted)}"
    against = "the base alone, as many in flight"
    return rounds.line(served.entry_id, RATE, unit=RATE, against=against, goal=None, note=note)


@asynccontextmanager
async def _loaded(
    kind: EngineKind, model: Path, adapter: Path | None = None
) -> AsyncIterator[Engine]:
    engine = kind.engine_for(model, frozenset(), adapter)
    await engine.load()
    try:
        yield engine
    finally:
        await engine.close()


def _memory(base: Engine, adapted: Sequence[Engine]) -> str:
    """What each process would leave free; engines without one of their own share a server."""
    if not isinstance(base, EngineProcess):
        return "one server has them all"
    sizes = [_own_megabytes(one) for one in (base, *adapted) if isinstance(one, EngineProcess)]
    return (
        f"own memory of the base's engine {sizes[0]:.0f} MB, "
        f"of each adapter's {max(sizes[1:]):.0f} MB at most"
    )


def _own_megabytes(engine: EngineProcess) -> float:
    """What would be free without it: pages that no other process has."""
    return float(psutil.Process(engine.pid).memory_full_info().uss) / 1e6


GROUP = Group(
    tuple(served.entry_id for served in SERVED),
    measure,
    PREPARE_SECONDS + sum(served.seconds for served in SERVED),
)
