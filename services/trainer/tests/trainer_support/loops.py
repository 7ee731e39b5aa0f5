"""Loops on a tiny model whose port, memory and clock a test has in its hand."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from modelmill_jobs.child import ChildPort
from modelmill_trainer.domain.hyper_parameters import HyperParameters, decide
from modelmill_trainer.domain.training_plan import plan_training
from modelmill_trainer.training.loop import TrainingLoop
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import AnswerObjective
from modelmill_trainer.training.packs import TrainingExample
from torch import Tensor

STEPS = 4


class Port(ChildPort):
    """Keeps what the loop says."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__({}, folder, report_fd=-1)
        self.reports: list[dict[str, float]] = []
        self.saved: list[int] = []
        self.longest_silence = 0.0

    def report(
        self,
        phase: str,
        *,
        metrics: Any = None,
        max_silence_seconds: float = 60.0,
        **_rest: Any,
    ) -> None:
        self.reports.append(dict(metrics or {}))
        self.longest_silence = max(self.longest_silence, max_silence_seconds)

    def checkpoint(self, folder: Path, step: int) -> None:
        self.saved.append(step)


class StopsWithin(AnswerObjective):
    """The run is told to stop while this step is computed."""

    def __init__(self, port: ChildPort, step: int) -> None:
        self._port, self._step = port, step
        self.now = 0.0
        """By a clock that only computing moves: an hour for each micro-batch."""

    def losses(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
        self.now += 3600
        yield from super().losses(model, rows)
        # Now there are gradients, and dropout has drawn.
        self._port.stop_requested = self._step < 0

    def weight(self, rows: Sequence[TrainingExample]) -> float:
        self._step -= 1
        return super().weight(rows)


def choices(**given: float) -> HyperParameters:
    # Dropout: the random generator counts, too.
    return decide(
        "lora",
        {
            **{"epochs": 1, "max_steps": STEPS, "batch_size": 6, "gradient_accumulation_steps": 1},
            **{"learning_rate": 0.01, "lora_dropout": 0.1, "checkpoint_steps": 100},
            **given,
        },
    )


def loop_of(
    base: Path, examples: list[TrainingExample], port: Port, chosen: HyperParameters, **parts: Any
) -> tuple[TrainingLoop, TrainedModel]:
    torch.set_num_threads(1)
    model = TrainedModel.load(base, chosen, "mv-base")
    plan = plan_training(len(examples), chosen)
    return TrainingLoop(model, examples, plan, chosen, port, **parts), model


def weights(model: TrainedModel) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.trainable.items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)
