"""train.*: our LoRA training beside TRL's SFTTrainer with its defaults.

train.lora: real tokens a second. Value: tokens of the rows, prompts and answers, padding not
counted / seconds in optimizer steps.
Ours: the trainer's own TrainingLoop with its defaults. Denominator (the rival): TRL, a process of
its own; the same rows in the same order, base model (SmolLM2-135M, bf16), rank, alpha, targets,
rate (linear fall), rows a step and fresh adapters; all else as SFTConfig has it (micro-batches of 8
padded rows, gradient checkpointing, bf16). Both are stopped between steps and take turns in one
run. The loss of the last counted step, of the same rows on both sides, is in the note. Floor: a
matrix product in the same number format. Load: nothing else runs. Sample: the demo's rows, 32 a
step.

train.memory: MB resident at most (ru_maxrss) of our process, over TRL's, imports and weights
included; the note has what each added to what it held when the model was loaded. TRL's default loss
is "nll", which it computes in chunks.

train.utilisation: operations a second of the matrix products that our steps needed, over those of
the floor. Needed (`modelmill_trainer.training.flops`): what rows share once, each token with those
before it, the head where an answer is predicted, no gradients of frozen weights.
"""

from contextlib import AsyncExitStack
from importlib.util import find_spec

from tests.bench.built_model import built_model
from tests.bench.figures import Figures, Goal, Line, Rounds, Unmeasured
from tests.bench.harness import MORE_ROUNDS, Group, Run
from tests.bench.worker import Worker, running

LORA, MEMORY, UTILISATION = "train.lora", "train.memory", "train.utilisation"
RATE, LOSS = "tokens/s", "loss"
PEAK, ADDED, FLOPS = "MB", "MB beyond the loaded model", "operations/s"
STEPS, ROWS = 1, 32
"""Steps in a round, and rows in a step."""
SECONDS, PREPARE_SECONDS = 110.0, 30.0
LORA_GOAL, MEMORY_GOAL, UTILISATION_GOAL = (
    Goal(1.8, at_least=True),
    Goal(1.0),
    Goal(0.45, at_least=True),
)


async def measure(run: Run) -> list[Line]:
    """An entry for each."""
    if find_spec("trl") is None:
        return [Unmeasured(one, "not measured: `trl` is not installed") for one in IDS]
    model = await built_model(run)
    each, rows = run.pick(STEPS, 1), run.pick(ROWS, 8)
    # As many as a second, longer try takes at most.
    steps = each * (run.rounds + 1 + round(run.rounds * MORE_ROUNDS) + 1)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        ours = await enter(running("train_ours", str(model.base), str(steps), str(rows)))
        rival = await enter(running("train_trl", str(model.base), str(steps), str(rows)))

        async def product() -> Figures:
            flops = (await ours.ask(product=True))["flops"]
            return {RATE: flops, FLOPS: flops}

        contestants = {
            "ours": lambda: _trained(ours, each),
            "trl": lambda: _trained(rival, each),
            "floor": product,
        }
        rounds = await run.interleaved(LORA, contestants, seconds=SECONDS, steady=[RATE])
    return [one for one in _lines(rounds) if one.id in run.wanted]


def _lines(rounds: Rounds) -> list[Line]:
    trl = "TRL SFTTrainer, its defaults"
    added = [rounds.median(name, ADDED) for name in ("ours", "trl")]
    product = rounds.median("floor", FLOPS) / 1e9
    return [
        rounds.line(
            LORA,
            RATE,
            unit=RATE,
            against=trl,
            goal=LORA_GOAL,
            note=_note(rounds),
            over="trl",
        ),
        rounds.line(
            MEMORY,
            PEAK,
            unit=PEAK,
            against=trl,
            goal=MEMORY_GOAL,
            note=f"TRL {rounds.median('trl', PEAK):.0f} MB; beyond the loaded model ours "
            f"{added[0]:.0f}, TRL's {added[1]:.0f} MB",
            over="trl",
            floor_figure=RATE,
        ),
        rounds.line(
            UTILISATION,
            FLOPS,
            unit=FLOPS,
            against="a matrix product",
            goal=UTILISATION_GOAL,
            note=f"the product reaches {product:.0f} GFLOP/s",
        ),
    ]


async def _trained(worker: Worker, steps: int) -> Figures:
    answer = await worker.ask(steps=steps)
    peak, loaded = answer["peak_bytes"] / 1e6, answer["loaded_bytes"] / 1e6
    return {
        RATE: answer["tokens"] / answer["seconds"],
        LOSS: answer["loss"],
        PEAK: peak,
        ADDED: peak - loaded,
        FLOPS: answer.get("flops", 0.0) / answer["seconds"],
    }


def _note(rounds: Rounds) -> str:
    last_ours, last_trl = (rounds.series(name, LOSS)[-1] for name in ("ours", "trl"))
    return (
        f"TRL {rounds.median('trl', RATE):.0f} tokens/s; loss of the last step {last_ours:.3f} "
        f"and {last_trl:.3f}"
    )


IDS = (LORA, MEMORY, UTILISATION)
GROUP = Group(IDS, measure, SECONDS + PREPARE_SECONDS)
