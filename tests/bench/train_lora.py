"""train.lora: real tokens a second of our LoRA training, over TRL's SFTTrainer with its defaults.

Value: tokens of the rows, prompts and answers, padding not counted / seconds in optimizer steps.
Ours: the trainer's own TrainingLoop with its defaults. Denominator (the rival): TRL, a process of
its own; the same rows in the same order, base model (SmolLM2-135M, bf16), rank, alpha, targets,
rate (linear fall), rows a step and micro-batches; all else as SFTConfig has it (padded batches,
gradient checkpointing, bf16). Both are stopped between steps and take turns in one run. The loss of
the last counted step, of the same rows on both sides, is in the note. Floor: a matrix product in
the same number format, which only tells whether the machine was steady; the note gives 4 x weights
of the layers x tokens/s as a share of it. Load: nothing else runs. Sample: the demo's rows, 32 a
step.
"""

from contextlib import AsyncExitStack
from importlib.util import find_spec

from tests.bench.built_model import built_model
from tests.bench.figures import Figures, Goal, Line, Rounds, Unmeasured
from tests.bench.harness import MORE_ROUNDS, Group, Run
from tests.bench.worker import Worker, running

ID = "train.lora"
RATE, LOSS = "tokens/s", "loss"
STEPS, ROWS = 1, 32
"""Steps in a round, and rows in a step."""
SECONDS, PREPARE_SECONDS = 110.0, 30.0
GOAL = Goal(1.8, at_least=True)
LAYER_WEIGHTS = 106_200_000
"""SmolLM2-135M without its embedding: 30 layers of 3.54 million."""
LORA_FLOPS_PER_WEIGHT = 4
"""Forward, and backward through frozen weights."""


async def measure(run: Run) -> list[Line]:
    """One entry."""
    if find_spec("trl") is None:
        return [Unmeasured(ID, "not measured: `trl` is not installed")]
    model = await built_model(run)
    each, rows = run.pick(STEPS, 1), run.pick(ROWS, 8)
    # As many as a second, longer try takes at most.
    steps = each * (run.rounds + 1 + round(run.rounds * MORE_ROUNDS) + 1)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        ours = await enter(running("train_ours", str(model.base), str(steps), str(rows)))
        rival = await enter(running("train_trl", str(model.base), str(steps), str(rows)))

        async def product() -> Figures:
            return {RATE: (await ours.ask(product=True))["flops"]}

        contestants = {
            "ours": lambda: _trained(ours, each),
            "trl": lambda: _trained(rival, each),
            "floor": product,
        }
        rounds = await run.interleaved(ID, contestants, seconds=SECONDS, steady=[RATE])
    return [
        rounds.line(
            ID,
            RATE,
            unit=RATE,
            against="TRL SFTTrainer, its defaults",
            goal=GOAL,
            note=_note(rounds),
            over="trl",
        )
    ]


async def _trained(worker: Worker, steps: int) -> Figures:
    answer = await worker.ask(steps=steps)
    return {RATE: answer["tokens"] / answer["seconds"], LOSS: answer["loss"]}


def _note(rounds: Rounds) -> str:
    ours, flops = rounds.median("ours", RATE), rounds.median("floor", RATE)
    share = LORA_FLOPS_PER_WEIGHT * LAYER_WEIGHTS * ours / flops
    last_ours, last_trl = (rounds.series(name, LOSS)[-1] for name in ("ours", "trl"))
    return (
        f"TRL {rounds.median('trl', RATE):.0f} tokens/s; loss of the last step {last_ours:.3f} "
        f"and {last_trl:.3f}; 4 N tokens/s is {share:.0%} of {flops / 1e9:.0f} GFLOP/s"
    )


GROUP = Group((ID,), measure, SECONDS + PREPARE_SECONDS)
