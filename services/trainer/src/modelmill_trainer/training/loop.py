"""Training loop: optimizer steps, checkpoints, validation and early stopping."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from modelmill_jobs.child import ChildPort, Preempted

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.limits import TrainingLimits
from modelmill_trainer.domain.training_plan import TrainingPlan
from modelmill_trainer.training.checkpoint import (
    METRICS,
    MetricsLog,
    TrainingProgress,
    load_checkpoint,
    save_checkpoint,
)
from modelmill_trainer.training.checkpoint_schedule import CheckpointSchedule
from modelmill_trainer.training.cost_meter import CostMeter
from modelmill_trainer.training.distributed.ranks import Ranks, SingleRank
from modelmill_trainer.training.failures import disk_full_as_failure
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import AnswerObjective, Objective
from modelmill_trainer.training.packs import TrainingExample, read_tokens
from modelmill_trainer.training.step import Stepper
from modelmill_trainer.training.token_rows import longest_of
from modelmill_trainer.training.update import LocalUpdate, Update
from modelmill_trainer.training.validation import Validation

SLOWEST_TOKENS_PER_SECOND = 10.0
"""Slower steps, or validations, are considered hung."""
STEP_MARGIN_SECONDS = 120.0
STOP_SECONDS = 5.0
"""On a stop request, a step with at most this remaining time is finished. A longer one is
abandoned, so that the checkpoint is written before the process is killed."""
BY_LEADER = "leader"
"""`stopped_by` of ranks other than the leader, whose reason counts."""
SECONDS_BETWEEN_INTERRUPTIONS = 3600.0


class TrainingLoop:
    """Runs the steps of a plan, from the start or from a checkpoint.

    Args:
        objective: The loss; by default that of answer tokens.
        update: Backward pass and optimizer; by default in this process.
        validation: Periodic validation; none by default.
        limits: Early-stopping limits.
        cost_meter: Cost of the run; 0 by default.
        seconds_between_interruptions: Expected mean time between failures, which determines the
            checkpoint interval unless `checkpoint_steps` is set.
        gives_up_steps: Whether a stop request may abandon a running step.
        ranks: The process group; a single process by default.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        model: TrainedModel,
        examples: Sequence[TrainingExample],
        plan: TrainingPlan,
        choices: HyperParameters,
        port: ChildPort,
        *,
        objective: Objective | None = None,
        update: Update | None = None,
        validation: Validation | None = None,
        limits: TrainingLimits | None = None,
        cost_meter: CostMeter | None = None,
        seconds_between_interruptions: float = SECONDS_BETWEEN_INTERRUPTIONS,
        gives_up_steps: bool = True,
        ranks: Ranks | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._examples = examples
        self._plan = plan
        self._port = port
        self._limits = limits or TrainingLimits()
        self._cost_meter = cost_meter or CostMeter()
        self._validation = validation or Validation(model, (), self._limits, plan.steps)
        self._update = update or LocalUpdate(model, choices)
        self._ranks = ranks or SingleRank()
        rows = choices.batch_size // choices.gradient_accumulation_steps
        self._stepper = Stepper(objective or AnswerObjective(), self._update, rows, self._ranks)
        self._schedule = CheckpointSchedule(
            choices.checkpoint_steps, seconds_between_interruptions, clock
        )
        self._clock = clock
        self._gives_up_steps = gives_up_steps
        self._step_seconds = 0.0
        self.progress = TrainingProgress()
        self.metrics = MetricsLog(port.folder / METRICS, None)
        most_tokens = longest_of(examples) * choices.batch_size + self._validation.tokens
        self._silence_seconds = STEP_MARGIN_SECONDS + most_tokens / SLOWEST_TOKENS_PER_SECOND

    def resume(self, folder: Path) -> None:
        """Restore a checkpoint; the run then continues bit for bit."""
        folder = self._ranks.rank_folder_in(folder)
        self.progress, best = load_checkpoint(folder, self._update, self._plan)
        self.metrics = MetricsLog(self.metrics.path, folder / METRICS)
        self._validation.resume(best)
        self._cost_meter.add_earlier_attempts(self.progress.work_seconds)
        if self.progress.micro_batch_rows:
            self._stepper.micro_batch_rows = self.progress.micro_batch_rows

    def run(self) -> None:
        """Run the remaining steps; afterwards the model holds the resulting weights.

        Raises:
            ChildFailure: the loss is not finite, or memory is too small for a single row.
            Preempted: the run was asked to stop; a checkpoint was saved.
        """
        self._report({})
        self._model.train(True)
        self._validation.before(self.progress)
        while not self._is_over:
            figures = self._step()
            if figures is not None:
                self._measure(figures)
                self.metrics.write(step=self.progress.step, **figures)
                self._report(figures)
            stop = self._ranks.any(self._port.stop_requested)
            due = self._ranks.any(self._schedule.is_due(self.progress.step))
            # After the last step too, so that an interruption of the evaluation does not repeat
            # steps.
            if stop or due or self._is_over:
                self._save()
            if stop:
                raise Preempted
        self._model.train(False)
        self._validation.restore_best(self.progress)

    @property
    def _is_over(self) -> bool:
        return self.progress.step >= self._plan.steps or bool(self.progress.stopped_by)

    def _step(self) -> dict[str, float] | None:
        """One optimizer step; returns its metrics, or None if it was abandoned."""
        began, flops = self._clock(), self._model.work.flops
        progress = self.progress
        numbers = self._plan.rows_of(progress.step)
        rows = [self._examples[number] for number in numbers]
        rate = self._plan.learning_rate(progress.step)
        result = self._stepper.run_step(
            progress.step,
            numbers,
            rows,
            rate=rate,
            abandon=lambda: self._gives_up(began),
        )
        if result is None:
            return None
        seconds = self._clock() - began
        self._step_seconds = seconds
        needed = self._ranks.total(self._model.work.flops - flops)
        tokens = read_tokens(rows)
        progress.step += 1
        progress.tokens += tokens
        progress.seconds += seconds
        progress.flops += needed
        progress.last_loss = result.loss
        if progress.first_loss is None:
            progress.first_loss = result.loss
        return {
            "loss": result.loss,
            "learning_rate": rate,
            "grad_norm": result.grad_norm,
            "tokens": float(tokens),
            "tokens_per_second": tokens / seconds,
            **result.details,
        } | self._cost_meter.figures(needed, seconds)

    def _gives_up(self, began: float) -> bool:
        """Whether to abandon the current step: a stop is requested and the step would end too
        late."""
        # Ranks cannot agree on it in the middle of a step.
        if self._ranks.size > 1 or not (self._gives_up_steps and self._port.stop_requested):
            return False
        ends = began + self._step_seconds if self._step_seconds else math.inf
        return ends - self._clock() > STOP_SECONDS - self._schedule.write_seconds

    def _measure(self, figures: dict[str, float]) -> None:
        """Check limits, and validate if it is due."""
        progress = self.progress
        seconds, cost = self._cost_meter.totals()
        reached = self._limits.reached(seconds, cost)
        # Clocks differ between ranks: the leader's decides.
        if self._ranks.any(self._ranks.is_leader and bool(reached)):
            progress.stopped_by = reached or BY_LEADER
        loss = self._validation.after(progress, last=self._is_over)
        if loss is not None:
            figures["valid_loss"] = loss

    def _save(self) -> None:
        began = self._clock()
        folder = self._ranks.checkpoint_in(self._port.folder)
        part = self._ranks.rank_folder_in(folder)
        progress = self.progress
        progress.work_seconds, _ = self._cost_meter.totals()
        if self._stepper.micro_batch_rows < self._stepper.requested_rows:
            progress.micro_batch_rows = self._stepper.micro_batch_rows
        best = self._validation.best
        with disk_full_as_failure(progress.step):
            save_checkpoint(part, self._update, progress, self._plan, self.metrics.path, best)
        self._ranks.wait()
        if self._ranks.is_leader:
            self._port.checkpoint(folder, progress.step)
        # No rank goes on before the checkpoint is durable.
        self._ranks.wait()
        self._schedule.saved(self._clock() - began)

    def _report(self, figures: dict[str, float]) -> None:
        self._port.report(
            "train",
            done=self.progress.step,
            total=self._plan.steps,
            unit="step",
            metrics=figures,
            max_silence_seconds=self._silence_seconds,
        )
