"""Short runs of the loop on tiny models, and rows for them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.training_plan import plan_training
from modelmill_trainer.training.loop import TrainingLoop
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import Objective
from modelmill_trainer.training.packs import TrainingExample
from torch import Tensor

QUICK = {"learning_rate": 0.02, "epochs": 1, "batch_size": 8, "gradient_accumulation_steps": 1}


def pair_rows(count: int) -> list[dict[str, Any]]:
    """Preference pairs: both answers begin alike, and the prompt does not tell which is better."""
    rows = []
    for number in range(count):
        turns = [
            ("system", "Name the kind of thing."),
            ("user", f"{number} has paw"),
            ("assistant", "an animal, small"),
        ]
        messages = [{"role": role, "content": content} for role, content in turns]
        rows.append({"messages": messages, "rejected": "an ant, or a plant", "row": number + 1})
    return rows


class LonelyPort:
    """A port of which nobody hears."""

    stop_requested = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def report(self, phase: str, **figures: Any) -> None:
        """See `ChildPort`."""

    def checkpoint(self, folder: Path, step: int) -> None:
        """See `ChildPort`."""


def run(
    model: TrainedModel,
    examples: Sequence[TrainingExample],
    choices: HyperParameters,
    objective: Objective | None = None,
) -> TrainingLoop:
    """All steps of a run; the loop as it is at their end."""
    with tempfile.TemporaryDirectory() as scratch:
        port: Any = LonelyPort(Path(scratch))
        plan = plan_training(len(examples), choices)
        loop = TrainingLoop(model, examples, plan, choices, port, objective=objective)
        loop.run()
    return loop


def gradients_of(
    model: TrainedModel, objective: Objective, rows: Sequence[TrainingExample], parts: int = 1
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of a step whose rows are computed in so many parts."""
    for weight in model.trainable.values():
        weight.grad = None
    objective.begin_step(model, rows)
    weight_of_step = objective.weight(rows)
    total, size = 0.0, -(-len(rows) // parts)
    for first in range(0, len(rows), size):
        for summed in objective.losses(model, rows[first : first + size]):
            (summed / weight_of_step).backward()  # type: ignore[no-untyped-call]
            total += float(summed.detach()) / weight_of_step
    return total, {
        name: weight.grad for name, weight in model.trainable.items() if weight.grad is not None
    }


def base_weights(model: TrainedModel) -> dict[str, Tensor]:
    """Copies of all weights that do not learn."""
    learned = {id(weight) for weight in model.trainable.values()}
    return {
        name: weight.detach().clone()
        for name, weight in model._model.named_parameters()
        if id(weight) not in learned
    }


def stir(model: TrainedModel, seed: int = 3) -> None:
    """Give what a fresh adapter learns something to say."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.trainable.items():
            if "lora_B" in name:
                weight.normal_(std=0.1, generator=generator)
