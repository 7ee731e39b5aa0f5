"""Checkpoint of a run after a step, as safetensors and JSON; never pickle.


    weights.safetensors     trainable weights, unless they are partitioned among ranks
    optimizer.safetensors   optimizer state: moments and step counts
    best.safetensors        weights with the lowest validation loss, if measured
    state.json              progress, data position, random generator states
    metrics.jsonl           metrics of every step so far


Data order and learning rate are functions of the step (see `TrainingPlan`). Epoch and row are
written for readers, and verified on load.
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
from modelmill_trainer.training.progress import TrainingProgress
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
    progress: TrainingProgress,
    plan: TrainingPlan,
    metrics: Path,
    best: Mapping[str, Tensor],
) -> None:
    """Write a checkpoint into `folder`, which is replaced.

    Args:
        best: Weights with the lowest validation loss; empty for none.
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
) -> tuple[TrainingProgress, dict[str, Tensor]]:
    """Restore optimizer, model weights and random generators from `folder`.

    Returns:
        The progress of the run, and the best weights, if any were saved.

    Raises:
        ValueError: the checkpoint belongs to another model or plan.
    """
    state = _read_state(folder)
    progress = TrainingProgress(**state["progress"])
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


def read_progress(folder: Path) -> TrainingProgress:
    """Progress stored in a checkpoint."""
    return TrainingProgress(**_read_state(folder)["progress"])


def _read_state(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return state
