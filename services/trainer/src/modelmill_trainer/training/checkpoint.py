"""The whole state of a run between two steps, as safetensors and JSON; nothing is ever pickled.

    weights.safetensors     the weights that training changes, those that one process has whole
    optimizer.safetensors   what the update remembers: moments and step counts
    best.safetensors        the weights that did best on the valid split, where it is measured
    state.json              progress, data position, states of the random generators
    metrics.jsonl           figures of every step so far

Data order and learning rate are functions of the step (see `TrainingPlan`), so that the step is
all there is to keep of them; epoch and row are written for people and checked on the way back.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from modelmill_trainer.domain.training_plan import TrainingPlan
from modelmill_trainer.training.progress import Progress
from modelmill_trainer.training.random_state import random_state, set_random_state
from modelmill_trainer.training.update import Update

WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
BEST = "best.safetensors"
METRICS = "metrics.jsonl"


def save_checkpoint(
    folder: Path,
    update: Update,
    progress: Progress,
    plan: TrainingPlan,
    metrics: Path,
    best: Mapping[str, Tensor],
) -> None:
    """Write the state into `folder`, which is made anew.

    Args:
        best: Weights that did better than these; empty for none.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    whole = update.whole_weights
    weights = {name: weight.detach().contiguous() for name, weight in whole.items()}
    save_file(weights, folder / WEIGHTS)
    save_file(update.state(), folder / OPTIMIZER)
    if best:
        save_file(dict(best), folder / BEST)
    shutil.copyfile(metrics, folder / METRICS)
    epoch, row = plan.position_after(progress.step)
    state = {
        "progress": asdict(progress),
        "position": {"epoch": epoch, "row": row},
        "random": random_state(),
    }
    (folder / STATE).write_text(json.dumps(state), encoding="utf-8")


def load_checkpoint(
    folder: Path, update: Update, plan: TrainingPlan
) -> tuple[Progress, dict[str, Tensor]]:
    """Put the state of `folder` into update, its model and the random generators.

    Returns:
        How far the run is, and the weights that did best, if any were kept.

    Raises:
        ValueError: the state is not of this model or this plan.
    """
    state = _read_state(folder)
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
    set_random_state(state["random"])
    best = load_file(folder / BEST) if (folder / BEST).is_file() else {}
    return progress, best


def read_progress(folder: Path) -> Progress:
    """How far the run is that left the state of `folder`."""
    return Progress(**_read_state(folder)["progress"])


def _read_state(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return state
