"""One optimizer step: gradient accumulation over micro-batches, then the weight update."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modelmill_jobs.child import ChildFailure

from modelmill_trainer.training.checkpoint import RandomState, random_state, set_random_state
from modelmill_trainer.training.distributed.ranks import Ranks
from modelmill_trainer.training.failures import is_out_of_memory
from modelmill_trainer.training.objective import Objective
from modelmill_trainer.training.packs import TrainingExample
from modelmill_trainer.training.update import Update

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepResult:
    """Metrics of a step."""

    loss: float
    grad_norm: float
    details: Mapping[str, float]
    """Additional metrics of the objective."""


class Stepper:
    """Runs optimizer steps, with smaller micro-batches after an out-of-memory error.

    Args:
        micro_batch_rows: Rows per micro-batch; bounds memory and the time between calls of
        `abandon`.
        ranks: Process group that shares each micro-batch.
    """

    def __init__(
        self, objective: Objective, update: Update, micro_batch_rows: int, ranks: Ranks
    ) -> None:
        self._ranks = ranks
        self._objective = objective
        self._update = update
        self.requested_rows = micro_batch_rows
        self.micro_batch_rows = micro_batch_rows
        """Halved after each out-of-memory error; the rows of a step stay the same."""

    def run_step(
        self,
        step: int,
        numbers: Sequence[int],
        rows: Sequence[TrainingExample],
        *,
        rate: float,
        abandon: Callable[[], bool],
    ) -> StepResult | None:
        """Compute gradients of `rows` and update the weights.

        Args:
            step: Step index from 0, for error messages.
            numbers: Index of each row in the train split.
            rate: Learning rate.
            abandon: Called between micro-batches; if True, the step is abandoned without effect.

        Returns:
            None if the step was abandoned.

        Raises:
            ChildFailure: The loss or its gradient is not finite, or a single row exceeds memory.
        """
        before = random_state()
        loss = self._gradients_that_fit(step, numbers, rows, abandon, before)
        if loss is None:
            self._discard_gradients(before)
            return None
        norm = self._update.apply(rate)
        if not math.isfinite(norm):
            raise _diverged(step, numbers, "gradient of the loss")
        return StepResult(loss, norm, self._objective.figures())

    def _gradients_that_fit(
        self,
        step: int,
        numbers: Sequence[int],
        rows: Sequence[TrainingExample],
        abandon: Callable[[], bool],
        before: RandomState,
    ) -> float | None:
        """Compute gradients, halving the micro-batch until memory suffices."""
        while True:
            try:
                return self._gradients(step, numbers, rows, abandon)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._ranks.size > 1:
                    raise _too_much_for_a_rank() from error
                self._shrink_micro_batch(rows, error)
            self._discard_gradients(before)

    def _gradients(
        self,
        step: int,
        numbers: Sequence[int],
        rows: Sequence[TrainingExample],
        abandon: Callable[[], bool],
    ) -> float | None:
        self._update.begin(self._objective, rows)
        weight = self._objective.weight(rows)
        loss = 0.0
        for first in range(0, len(rows), self.micro_batch_rows):
            if abandon():
                return None
            part = slice(first, first + self.micro_batch_rows)
            own = 0.0
            for summed in self._update.losses(self._objective, rows[part]):
                self._update.backward(summed / weight)
                own += float(summed.detach()) / weight
            loss += self._ranks.total(own)
            if not math.isfinite(loss):
                raise _diverged(step, numbers[part], "loss")
        return loss

    def _shrink_micro_batch(self, rows: Sequence[TrainingExample], error: BaseException) -> None:
        size = min(self.micro_batch_rows, len(rows))
        if size == 1:
            longest = max(len(row.ids) for row in rows)
            raise ChildFailure(
                "OUT_OF_MEMORY",
                f"a micro-batch of one row does not fit into memory. The step's longest row has "
                f"{longest} tokens",
                "Lower max_tokens_per_row, choose a method that changes fewer weights, or train "
                "on a machine with more memory.",
            ) from error
        self.micro_batch_rows = (size + 1) // 2
        log.warning(
            "out of memory: micro-batches have %d rows from now on, not %d; a step has the same",
            self.micro_batch_rows,
            size,
        )

    def _discard_gradients(self, before: RandomState) -> None:
        self._update.zero_grad()
        set_random_state(before)


def _too_much_for_a_rank() -> ChildFailure:
    # No retry: the other ranks wait in a collective for this one.
    return ChildFailure(
        "OUT_OF_MEMORY",
        "a rank has too little memory for its part of a micro-batch",
        "Raise gradient_accumulation_steps or the number of ranks, lower max_tokens_per_row, or "
        "train on machines with more memory.",
    )


def _diverged(step: int, numbers: Sequence[int], what: str) -> ChildFailure:
    named = ", ".join(str(number + 1) for number in numbers)
    return ChildFailure(
        "DIVERGED",
        f"the {what} is not a number in step {step + 1} (rows {named} of the train split)",
        "Check these rows, lower the learning rate or raise warmup_ratio. A resume continues from "
        "the last checkpoint.",
    )
