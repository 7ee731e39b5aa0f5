"""What both sides of train.lora learn: the same rows in the same order, with the same choices.

    python -m tests.bench.train_task BASE_FOLDER FILE

writes the fresh adapters that our side begins with, so that the other side can begin with them.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelmill_cli.demo.recipe import demo_mapping
from modelmill_tokenization import Turn
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.hyper_parameters import LORA, HyperParameters, decide
from modelmill_trainer.domain.training_plan import TrainingPlan, plan_training
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.rows import encode_rows

from tests.bench.rows_sample import good_nouns

TRL_MICRO_BATCH_ROWS = 8
"""TRL's default; ours is a step's rows, whose passes are bounded by nodes of a tree."""
LEARNING_RATE = 5e-4
NO_WARMUP = 0.0
"""TRL counts warm-up from 0, we from 1; without any they agree. 0 is the default to `decide`."""
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SEED = 7


def choices_for(steps: int, rows: int) -> HyperParameters:
    """The trainer's defaults for LoRA, for so many steps of so many rows."""
    choices = decide(
        LORA,
        {
            "learning_rate": LEARNING_RATE,
            "batch_size": rows,
            "epochs": 100,
            "max_steps": steps,
            "checkpoint_steps": 100_000,
            "seed": SEED,
        },
    )
    return replace(choices, warmup_ratio=NO_WARMUP)


def examples_and_plan(
    base: Path, steps: int, batch_rows: int
) -> tuple[list[TrainingExample], TrainingPlan]:
    """The demo's rows as token ids, and which of them each step sees."""
    tokenizer = ChatTokenizer.load(base)
    rows: list[dict[str, Any]] = [
        {"row": number, "messages": _turns(noun)} for number, noun in enumerate(good_nouns())
    ]
    examples = encode_rows(rows, tokenizer, split="train", max_tokens=1024)
    return examples, plan_training(len(examples), choices_for(steps, batch_rows))


def write_fresh_adapters(base: Path, file: Path) -> None:
    """Those of our side, by name of weight."""
    from modelmill_trainer.training.model import TrainedModel
    from safetensors.torch import save_file

    model = TrainedModel.load(base, choices_for(1, 8), "base")
    save_file({name: weight.detach() for name, weight in model.trainable.items()}, file)


def scratch_folder() -> Path:
    """A folder of this process that nobody else writes to."""
    return Path(tempfile.mkdtemp(prefix="bench-train-"))


def _turns(noun: dict[str, str]) -> list[Turn]:
    mapping = demo_mapping()
    return [
        Turn(role="system", content=mapping["system_template"]),
        Turn(role="user", content=mapping["user_template"].format(**noun)),
        Turn(role="assistant", content=noun["label"]),
    ]


if __name__ == "__main__":
    write_fresh_adapters(Path(sys.argv[1]), Path(sys.argv[2]))
