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
import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from modelmill_trainer.domain.training_plan import TrainingPlan
from modelmill_trainer.training.update import Update

RandomState = dict[str, Any]
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
BEST = "best.safetensors"
METRICS = "metrics.jsonl"


class MetricsLog:
    """Appends to the log of this attempt.

    Args:
        path: The file; created empty, or as a copy of `earlier`.
        earlier: Log in the checkpoint to resume from.
    """

    def __init__(self, path: Path, earlier: Path | None) -> None:
        self.path = path
        if earlier is not None:
            shutil.copyfile(earlier, path)
        else:
            path.write_bytes(b"")

    def write(self, **figures: float) -> None:
        """Add a line."""
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(figures) + "\n")


@dataclass
class TrainingProgress:
    """Counters and results that a resume continues with."""

    step: int = 0
    """Optimizer steps done."""
    tokens: int = 0
    """Tokens read in training, prompts and answers."""
    seconds: float = 0.0
    """Time in optimizer steps."""
    flops: float = 0.0
    """FLOPs of the steps' matrix products."""
    work_seconds: float = 0.0
    """Total time of all attempts up to their last checkpoint, with loading and evaluation."""
    first_loss: float | None = None
    last_loss: float | None = None
    base_correct: list[bool] | None = None
    """The base model's results on the test split."""
    micro_batch_rows: int = 0
    """Reduced micro-batch size after an out-of-memory error; 0 if it was never reduced."""
    best_step: int = 0
    """Step with the lowest validation loss; 0 before the first validation."""
    best_valid_loss: float | None = None
    valid_losses: list[tuple[int, float]] = field(default_factory=list)
    """Pairs of step and validation loss."""
    stopped_by: str = ""
    """Reason for early stopping; empty if training was not stopped early."""
    decision: dict[str, Any] | None = None
    """Resolved automatic values, as JSON of `AutoChoices`."""
    first_valid_loss: float | None = None
    """Validation loss before the first step."""
    teacher_texts: list[list[int]] = field(default_factory=list)
    """Token ids that the teacher wrote before the first step."""


def random_state() -> RandomState:
    """States of Python's, torch's and each GPU's generator."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "torch": _hex(torch.get_rng_state()),
        "cuda": [_hex(state) for state in devices],
    }


def set_random_state(state: RandomState) -> None:
    """Restore what `random_state` returned.

    Raises:
        ValueError: The number of GPUs differs.
    """
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    torch.set_rng_state(_tensor(state["torch"]))
    devices = [_tensor(one) for one in state["cuda"]]
    if len(devices) != (torch.cuda.device_count() if torch.cuda.is_available() else 0):
        raise ValueError(f"the state is of a machine with {len(devices)} GPUs")
    if devices:
        torch.cuda.set_rng_state_all(devices)


def _hex(state: torch.Tensor) -> str:
    return bytes(state.tolist()).hex()


def _tensor(state: str) -> torch.Tensor:
    return torch.tensor(list(bytes.fromhex(state)), dtype=torch.uint8)


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
