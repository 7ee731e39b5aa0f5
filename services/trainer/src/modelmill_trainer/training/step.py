"""One optimizer step: forward and backward passes in micro-batches, then the new weights."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modelmill_jobs.child import ChildFailure

from modelmill_trainer.training.distributed.ranks import Ranks
from modelmill_trainer.training.memory import is_out_of_memory
from modelmill_trainer.training.objective import Objective
from modelmill_trainer.training.packs import Example
from modelmill_trainer.training.random_state import RandomState, random_state, set_random_state
from modelmill_trainer.training.update import Update

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepFigures:
    """What a step came to."""

    loss: float
    grad_norm: float
    details: Mapping[str, float]
    """What the objective says of it."""


class Stepper:
    """Takes steps.

    Args:
        micro_batch_rows: Rows computed between two looks at `abandon`; bounds what is in memory.
        ranks: Among whom each micro-batch is divided.
    """

    def __init__(
        self, objective: Objective, update: Update, micro_batch_rows: int, ranks: Ranks
    ) -> None:
        self._ranks = ranks
        self._objective = objective
        self._update = update
        self.asked_rows = micro_batch_rows
        self.micro_batch_rows = micro_batch_rows
        """Halved whenever memory is too small for it; the step's rows stay the same."""

    def take(
        self,
        step: int,
        numbers: Sequence[int],
        rows: Sequence[Example],
        *,
        rate: float,
        abandon: Callable[[], bool],
    ) -> StepFigures | None:
        """Change the weights by what `rows` say.

        Args:
            step: Counted from 0, for what is said about it.
            numbers: Of each row its place in the train split.
            rate: Learning rate.
            abandon: Asked between micro-batches; with True nothing has changed.

        Returns:
            None when it was abandoned.

        Raises:
            ChildFailure: The loss or its gradient is not a number; or a single row is too much
                for the memory.
        """
        before = random_state()
        loss = self._gradients_that_fit(step, numbers, rows, abandon, before)
        if loss is None:
            self._begin_anew(before)
            return None
        norm = self._update.apply(rate)
        if not math.isfinite(norm):
            raise _diverged(step, numbers, "gradient of the loss")
        return StepFigures(loss, norm, self._objective.figures())

    def _gradients_that_fit(
        self,
        step: int,
        numbers: Sequence[int],
        rows: Sequence[Example],
        abandon: Callable[[], bool],
        before: RandomState,
    ) -> float | None:
        """Compute in smaller micro-batches until memory is enough."""
        while True:
            try:
                return self._gradients(step, numbers, rows, abandon)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._ranks.size > 1:
                    raise _too_much_for_a_rank() from error
                self._take_less(rows, error)
            self._begin_anew(before)

    def _gradients(
        self,
        step: int,
        numbers: Sequence[int],
        rows: Sequence[Example],
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

    def _take_less(self, rows: Sequence[Example], error: BaseException) -> None:
        size = min(self.micro_batch_rows, len(rows))
        if size == 1:
            longest = max(len(row.ids) for row in rows)
            raise ChildFailure(
                "OUT_OF_MEMORY",
                f"a micro-batch of one row does not fit into memory; the step's longest row has "
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

    def _begin_anew(self, before: RandomState) -> None:
        self._update.forget()
        set_random_state(before)


def _too_much_for_a_rank() -> ChildFailure:
    # The others are in the middle of a pass that they cannot end without this one.
    return ChildFailure(
        "OUT_OF_MEMORY",
        "a rank has no memory for its part of a micro-batch",
        "Raise gradient_accumulation_steps or the number of ranks, lower max_tokens_per_row, or "
        "train on machines with more memory.",
    )


def _diverged(step: int, numbers: Sequence[int], what: str) -> ChildFailure:
    named = ", ".join(str(number + 1) for number in numbers)
    return ChildFailure(
        "DIVERGED",
        f"the {what} is not a number in step {step + 1} (rows {named} of the train split)",
        "Look at these rows; lower the learning rate, or raise warmup_ratio. The last checkpoint "
        "is kept: a resume goes on from it.",
    )
