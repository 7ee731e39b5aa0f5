"""The training loop."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

from jobs.child import ChildFailure, ChildPort, Preempted

from trainer.domain.hyper_parameters import HyperParameters
from trainer.domain.training_plan import TrainingPlan
from trainer.training.checkpoint import METRICS, Progress, load_checkpoint, save_checkpoint
from trainer.training.metrics_log import MetricsLog
from trainer.training.model import TrainedModel
from trainer.training.objective import LearnAnswers, Objective
from trainer.training.packs import Example, read_tokens
from trainer.training.token_rows import longest_of
from trainer.training.update import LocalUpdate, Update

SLOWEST_TOKENS_PER_SECOND = 10.0
"""A step that is slower than this is taken for hung."""
STEP_MARGIN_SECONDS = 120.0


class TrainingLoop:
    """Steps through a plan from wherever the last checkpoint left off."""

    def __init__(
        self,
        model: TrainedModel,
        examples: Sequence[Example],
        plan: TrainingPlan,
        choices: HyperParameters,
        port: ChildPort,
        *,
        objective: Objective | None = None,
        update: Update | None = None,
    ) -> None:
        self._model = model
        self._examples = examples
        self._plan = plan
        self._choices = choices
        self._port = port
        self._objective = objective or LearnAnswers()
        self._update = update or LocalUpdate(model, choices)
        self.progress = Progress()
        self.metrics = MetricsLog(port.folder / METRICS, None)
        longest = longest_of(examples)
        self._silence_seconds = (
            STEP_MARGIN_SECONDS + longest * choices.batch_size / SLOWEST_TOKENS_PER_SECOND
        )

    def resume(self, folder: Path) -> None:
        """Go on from a checkpoint: from here on the run is the one that was interrupted."""
        self.progress = load_checkpoint(folder, self._model, self._update, self._plan)
        self.metrics = MetricsLog(self.metrics.path, folder / METRICS)

    def run(self) -> None:
        """Take the steps that are left.

        Raises:
            ChildFailure: the loss is no longer a number.
            Preempted: told to stop; a checkpoint was made after the step in hand.
        """
        self._report({})
        self._model.train(True)
        while self.progress.step < self._plan.steps:
            figures = self._step()
            self.metrics.write(step=self.progress.step, **figures)
            self._report(figures)
            stop = self._port.stop_requested
            due = self.progress.step % self._choices.checkpoint_steps == 0
            # After the last step too: an interrupted evaluation must not cost the training.
            if due or stop or self.progress.step == self._plan.steps:
                self._save()
            if stop:
                raise Preempted
        self._model.train(False)

    def _step(self) -> dict[str, float]:
        """One optimizer step; returns its figures."""
        began = time.monotonic()
        step = self.progress.step
        rows = [self._examples[index] for index in self._plan.rows_of(step)]
        self._objective.begin_step(self._model, rows)
        weight = self._objective.weight(rows)
        loss = 0.0
        for micro_batch in self._micro_batches(rows):
            for summed in self._objective.losses(self._model, micro_batch):
                self._update.backward(summed / weight)
                loss += float(summed.detach()) / weight
        rate = self._plan.learning_rate(step)
        norm = self._update.apply(rate)
        self._refuse_divergence(step, loss, norm)

        seconds = time.monotonic() - began
        tokens = read_tokens(rows)
        self.progress.step += 1
        self.progress.tokens += tokens
        self.progress.seconds += seconds
        self.progress.last_loss = loss
        if self.progress.first_loss is None:
            self.progress.first_loss = loss
        return {
            "loss": loss,
            "learning_rate": rate,
            "grad_norm": norm,
            "tokens": float(tokens),
            "tokens_per_second": tokens / seconds,
            **self._objective.figures(),
        }

    def _micro_batches(self, rows: list[Example]) -> list[list[Example]]:
        """A step's rows in equal parts; bounds what is in memory at a time."""
        size = self._choices.batch_size // self._choices.gradient_accumulation_steps
        return [rows[first : first + size] for first in range(0, len(rows), size)]

    def _refuse_divergence(self, step: int, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        named = ", ".join(str(index + 1) for index in self._plan.rows_of(step))
        raise ChildFailure(
            "DIVERGED",
            f"the loss or its gradient is not a number in step {step + 1} "
            f"(rows {named} of the train split)",
            "Lower the learning rate, or raise warmup_ratio; the last checkpoint is kept.",
        )

    def _save(self) -> None:
        folder = self._port.folder / "checkpoint"
        save_checkpoint(
            folder, self._model, self._update, self.progress, self._plan, self.metrics.path
        )
        self._port.checkpoint(folder, self.progress.step)

    def _report(self, figures: dict[str, float]) -> None:
        self._port.report(
            "train",
            done=self.progress.step,
            total=self._plan.steps,
            unit="step",
            metrics=figures,
            max_silence_seconds=self._silence_seconds,
        )
