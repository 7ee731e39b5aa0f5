"""The whole state of a run between two steps, as safetensors and JSON; nothing is ever pickled.

    weights.safetensors     the weights that training changes, those that one process has whole
    optimizer.safetensors   what the update remembers: moments and step counts
    state.json              progress, data position, states of the random generators
    metrics.jsonl           figures of every step so far

Data order and learning rate are functions of the step (see `TrainingPlan`), so that the step is
all there is to keep of them; epoch and row are written for people and checked on the way back.
"""

import json
import random
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from trainer.domain.training_plan import TrainingPlan
from trainer.training.update import Update

WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
METRICS = "metrics.jsonl"


@dataclass
class Progress:
    """How far a run is, over all its attempts."""

    step: int = 0
    """Optimizer steps done."""
    tokens: int = 0
    """Tokens read in training, prompts and answers."""
    seconds: float = 0.0
    """Time spent in steps."""
    first_loss: float | None = None
    last_loss: float | None = None
    base_correct: list[bool] | None = None
    """The base model's result on the test split, scored before the first step."""


def save_checkpoint(
    folder: Path,
    update: Update,
    progress: Progress,
    plan: TrainingPlan,
    metrics: Path,
) -> None:
    """Write the state into `folder`, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    weights = {name: weight.detach().contiguous() for name, weight in update.whole_weights.items()}
    save_file(weights, folder / WEIGHTS)
    save_file(update.state(), folder / OPTIMIZER)
    shutil.copyfile(metrics, folder / METRICS)
    epoch, row = plan.position_after(progress.step)
    state = {
        "progress": asdict(progress),
        "position": {"epoch": epoch, "row": row},
        "random": {
            "python": random.getstate(),
            "torch": bytes(torch.get_rng_state().tolist()).hex(),
        },
    }
    (folder / STATE).write_text(json.dumps(state), encoding="utf-8")


def load_checkpoint(folder: Path, update: Update, plan: TrainingPlan) -> Progress:
    """Put the state of `folder` into update, its model and the random generators.

    Raises:
        ValueError: the state is not of this model or this plan.
    """
    state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
    progress = Progress(**state["progress"])
    position = (state["position"]["epoch"], state["position"]["row"])
    weights = load_file(folder / WEIGHTS)
    whole = update.whole_weights
    if position != plan.position_after(progress.step) or weights.keys() != whole.keys():
        raise ValueError("the checkpoint is of another run")
    with torch.no_grad():
        for name, weight in whole.items():
            weight.copy_(weights[name])
    update.load_state(load_file(folder / OPTIMIZER))
    version, numbers, gauss = state["random"]["python"]
    random.setstate((version, tuple(numbers), gauss))
    torch.set_rng_state(
        torch.tensor(list(bytes.fromhex(state["random"]["torch"])), dtype=torch.uint8)
    )
    return progress
