"""The rival of train.lora: TRL's SFTTrainer with its defaults, a few steps at a time.

The rows come as token ids and labels, cut where ours are cut, in the order of our plan. Ours are
only what both sides must share: fresh adapters, rank, alpha, targets, rate, batch, steps. All else
(padding, gradient checkpointing, bf16, loss) is what SFTConfig says.

Arguments: the base model's folder, steps in all, rows a step. Question: {"steps"}. Answer:
{"seconds", "tokens", "loss", "peak_bytes", "loaded_bytes"}.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from modelmill_service_kit.machine_size import resident_memory
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.training.failures import peak_bytes
from peft import LoraConfig, TaskType
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from tests.bench.train_task import (
    LORA_TARGETS,
    SEED,
    TRL_MICRO_BATCH_ROWS,
    choices_for,
    examples_and_plan,
    scratch_folder,
)
from tests.bench.worker import Bench

UNLEARNED = -100


class Pace(TrainerCallback):
    """Lets the trainer go on for as many steps as are asked for, and waits in between."""

    def __init__(self, bench: Bench, tokens_of_step: list[int]) -> None:
        self._bench = bench
        self._tokens_of_step = tokens_of_step
        self._left = 0
        self._seconds = 0.0
        self._tokens = 0
        self._begun = 0.0
        self.loaded_bytes = 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._left == 0 and not self._wait():
            raise SystemExit
        self._begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._seconds += time.perf_counter() - self._begun
        self._tokens += self._tokens_of_step[state.global_step - 1]

    def on_log(self, args: Any, state: Any, control: Any, **told: Any) -> None:
        logs = told["logs"]
        if "loss" not in logs:
            return
        self._left -= 1
        if self._left == 0:
            self._bench.answer(
                {
                    "seconds": self._seconds,
                    "tokens": self._tokens,
                    "loss": float(logs["loss"]),
                    "peak_bytes": peak_bytes(),
                    "loaded_bytes": self.loaded_bytes,
                }
            )
            self._seconds, self._tokens = 0.0, 0

    def _wait(self) -> bool:
        question = self._bench.question()
        if question is None:
            return False
        self._left = question["steps"]
        return True


def main() -> None:
    """Train until nobody asks any more."""
    bench = Bench()
    base, steps, batch_rows = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder = scratch_folder()
    examples, plan = examples_and_plan(base, steps, batch_rows)
    order = [[examples[row] for row in plan.rows_of(step)] for step in range(steps)]
    rows = [
        {
            "input_ids": list(one.ids),
            "labels": [UNLEARNED] * one.answer_start + list(one.ids[one.answer_start :]),
        }
        for step in order
        for one in step
    ]
    choices = choices_for(steps, batch_rows)
    pace = Pace(bench, [sum(len(one.ids) for one in step) for step in order])
    trainer = SFTTrainer(
        model=str(base),
        args=_arguments(folder, choices, steps),
        train_dataset=Dataset.from_list(rows),
        processing_class=PreTrainedTokenizerFast.from_pretrained(base),
        peft_config=LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=choices.lora_rank,
            lora_alpha=int(choices.lora_alpha),
            target_modules=list(LORA_TARGETS),
        ),
        callbacks=[pace],
    )
    _begin_as_we_do(trainer, base, folder)
    pace.loaded_bytes = resident_memory(os.getpid())
    try:
        trainer.train()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _begin_as_we_do(trainer: SFTTrainer, base: Path, folder: Path) -> None:
    """Put our side's fresh adapters in the place of its own; a process of their own makes them."""
    file = folder / "adapters.safetensors"
    arguments = ("tests.bench.train_task", str(base), str(file))
    subprocess.run((sys.executable, "-m", *arguments), check=True, stdout=subprocess.DEVNULL)
    fresh = load_file(file)
    model: Any = trainer.model
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight.copy_(fresh.pop(name))
    assert not fresh, f"adapters that the other side lacks: {sorted(fresh)[:3]}"


def _arguments(folder: Path, choices: HyperParameters, steps: int) -> SFTConfig:
    return SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=TRL_MICRO_BATCH_ROWS,
        gradient_accumulation_steps=choices.batch_size // TRL_MICRO_BATCH_ROWS,
        max_steps=steps,
        learning_rate=choices.learning_rate,
        warmup_steps=0,
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        seed=SEED,
    )


if __name__ == "__main__":
    main()
