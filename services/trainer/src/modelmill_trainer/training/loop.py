"""The training loop."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from modelmill_jobs.child import ChildPort, Preempted

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.limits import TrainingLimits
from modelmill_trainer.domain.training_plan import TrainingPlan
from modelmill_trainer.training.accounts import Accounts
from modelmill_trainer.training.checkpoint import METRICS, load_checkpoint, save_checkpoint
from modelmill_trainer.training.checkpoint_pace import CheckpointPace
from modelmill_trainer.training.disk import disk_full_named
from modelmill_trainer.training.distributed.ranks import OneRank, Ranks
from modelmill_trainer.training.metrics_log import MetricsLog
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import LearnAnswers, Objective
from modelmill_trainer.training.packs import Example, read_tokens
from modelmill_trainer.training.progress import Progress
from modelmill_trainer.training.step import Stepper
from modelmill_trainer.training.token_rows import longest_of
from modelmill_trainer.training.update import LocalUpdate, Update
from modelmill_trainer.training.validation import Validation

SLOWEST_TOKENS_PER_SECOND = 10.0
"""A step that is slower than this is taken for hung."""
STEP_MARGIN_SECONDS = 120.0
STOP_SECONDS = 5.0
"""A step that ends within this is finished when the run shall stop; any other is given up, so that
its checkpoint is written before the process is killed."""
BY_LEADER = "leader"
"""Where another rank has reached a limit; only the leader's reason is read."""
SECONDS_BETWEEN_INTERRUPTIONS = 3600.0


class TrainingLoop:
    """Steps through a plan from wherever the last checkpoint left off.

    Args:
        objective: The loss; that of answers by default.
        update: How weights change; in this process by default.
        validation: Measures the valid split on the way; nothing by default.
        limits: When to stop early.
        accounts: What the work costs; for nothing by default.
        seconds_between_interruptions: The mean that is expected; with the time that a checkpoint
            takes it says how often to save, where the choices leave that open.
        gives_up_steps: Whether a step may be left in its middle when the run shall stop.
        ranks: The processes that the run is divided among; this one alone by default.
        clock: Seconds that go on steadily.
    """

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
        validation: Validation | None = None,
        limits: TrainingLimits | None = None,
        accounts: Accounts | None = None,
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
        self._accounts = accounts or Accounts()
        self._validation = validation or Validation(model, (), self._limits, plan.steps)
        self._update = update or LocalUpdate(model, choices)
        self._ranks = ranks or OneRank()
        rows = choices.batch_size // choices.gradient_accumulation_steps
        self._stepper = Stepper(objective or LearnAnswers(), self._update, rows, self._ranks)
        self._pace = CheckpointPace(choices.checkpoint_steps, seconds_between_interruptions, clock)
        self._clock = clock
        self._gives_up_steps = gives_up_steps
        self._step_seconds = 0.0
        self.progress = Progress()
        self.metrics = MetricsLog(port.folder / METRICS, None)
        longest = longest_of(examples)
        self._silence_seconds = (
            STEP_MARGIN_SECONDS + longest * choices.batch_size / SLOWEST_TOKENS_PER_SECOND
        )

    def resume(self, folder: Path) -> None:
        """Go on from a checkpoint: from here on the run is the one that was interrupted."""
        folder = self._ranks.part_of(folder)
        self.progress, best = load_checkpoint(folder, self._update, self._plan)
        self.metrics = MetricsLog(self.metrics.path, folder / METRICS)
        self._validation.resume(best)
        self._accounts.go_on_from(self.progress.work_seconds)
        if self.progress.micro_batch_rows:
            self._stepper.micro_batch_rows = self.progress.micro_batch_rows

    def run(self) -> None:
        """Take the steps that are left; then the model has the weights that are the result.

        Raises:
            ChildFailure: the loss is no longer a number, or memory is too small for a single row.
            Preempted: told to stop; a checkpoint was made of the steps that were done.
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
            due = self._ranks.any(self._pace.is_due(self.progress.step))
            # After the last step too: an interrupted evaluation must not cost the training.
            if stop or due or self._is_over:
                self._save()
            if stop:
                raise Preempted
        self._model.train(False)
        self._validation.put_back_best(self.progress)

    @property
    def _is_over(self) -> bool:
        return self.progress.step >= self._plan.steps or bool(self.progress.stopped_by)

    def _step(self) -> dict[str, float] | None:
        """One optimizer step; returns its figures, or None when it was given up."""
        began, flops = self._clock(), self._model.work.flops
        progress = self.progress
        numbers = self._plan.rows_of(progress.step)
        rows = [self._examples[number] for number in numbers]
        rate = self._plan.learning_rate(progress.step)
        taken = self._stepper.take(
            *(progress.step, numbers, rows), rate=rate, abandon=lambda: self._gives_up(began)
        )
        if taken is None:
            return None
        seconds = self._clock() - began
        self._step_seconds = seconds
        needed = self._ranks.total(self._model.work.flops - flops)
        tokens = read_tokens(rows)
        progress.step += 1
        progress.tokens += tokens
        progress.seconds += seconds
        progress.flops += needed
        progress.last_loss = taken.loss
        if progress.first_loss is None:
            progress.first_loss = taken.loss
        return {
            "loss": taken.loss,
            "learning_rate": rate,
            "grad_norm": taken.grad_norm,
            "tokens": float(tokens),
            "tokens_per_second": tokens / seconds,
            **taken.details,
        } | self._accounts.figures(needed, seconds)

    def _gives_up(self, began: float) -> bool:
        """Whether a step that has begun shall be left: the run shall stop, and the step would not
        be done in time."""
        # Ranks would have to agree on it in the middle of a step.
        if self._ranks.size > 1 or not (self._gives_up_steps and self._port.stop_requested):
            return False
        ends = began + self._step_seconds if self._step_seconds else math.inf
        return ends - self._clock() > STOP_SECONDS - self._pace.write_seconds

    def _measure(self, figures: dict[str, float]) -> None:
        """Of the valid split when it is time to; and whether a limit is reached."""
        progress = self.progress
        seconds, cost = self._accounts.so_far()
        reached = self._limits.reached(seconds, cost)
        # Clocks differ; one of them decides for all.
        if self._ranks.any(self._ranks.leads and bool(reached)):
            progress.stopped_by = reached or BY_LEADER
        loss = self._validation.after(progress, last=self._is_over)
        if loss is not None:
            figures["valid_loss"] = loss

    def _save(self) -> None:
        began = self._clock()
        folder = self._ranks.checkpoint_in(self._port.folder)
        part = self._ranks.part_of(folder)
        progress = self.progress
        progress.work_seconds, _ = self._accounts.so_far()
        if self._stepper.micro_batch_rows < self._stepper.asked_rows:
            progress.micro_batch_rows = self._stepper.micro_batch_rows
        best = self._validation.best
        with disk_full_named(progress.step):
            save_checkpoint(part, self._update, progress, self._plan, self.metrics.path, best)
        self._ranks.wait()
        if self._ranks.leads:
            self._port.checkpoint(folder, progress.step)
        # Who goes on, and perhaps ends, does so with a state that lasts.
        self._ranks.wait()
        self._pace.saved(self._clock() - began)

    def _report(self, figures: dict[str, float]) -> None:
        self._port.report(
            "train",
            done=self.progress.step,
            total=self._plan.steps,
            unit="step",
            metrics=figures,
            max_silence_seconds=self._silence_seconds,
        )
