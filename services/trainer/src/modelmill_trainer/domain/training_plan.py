"""Data order and learning-rate schedule, as pure functions of seed and step.

There is no state between steps, so a resumed run sees exactly the rows of an uninterrupted one.
"""

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from modelmill_trainer.domain.hyper_parameters import HyperParameters


@dataclass(frozen=True)
class TrainingPlan:
    """Batches and learning rates of a run.


    Rows come from an endless sequence of epochs: a batch may hold the end of one epoch and the
    beginning of the next, so all but the last are full. Epochs are shuffled, but for those that the
    dataset gives an order for.
    """

    rows: int
    """Rows of the train split."""
    batch_size: int
    row_visits: int
    """Rows seen over all epochs."""
    seed: int
    warmup_steps: int
    peak_learning_rate: float
    order: Sequence[int] = ()
    """Every row once, in the order of the first epoch; empty when the dataset gives none."""
    order_repeats: bool = False
    """Whether later epochs use the same order."""

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return ceil(self.row_visits / self.batch_size)

    def rows_of(self, step: int) -> list[int]:
        """Indices of the rows of a step, counted from 0; the last step may have fewer."""
        first = step * self.batch_size
        last = min(first + self.batch_size, self.row_visits)
        return [
            self._order_of(visit // self.rows)[visit % self.rows] for visit in range(first, last)
        ]

    def position_after(self, step: int) -> tuple[int, int]:
        """(epoch, rows of it already seen) once `step` steps are done."""
        return divmod(min(step * self.batch_size, self.row_visits), self.rows)

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0: linear warm-up to the peak, then linear decay.

        It is never 0: every step that is paid for changes the weights.
        """
        if step < self.warmup_steps:
            share = (step + 1) / self.warmup_steps
        else:
            share = (self.steps - step) / (self.steps - self.warmup_steps)
        return self.peak_learning_rate * share

    def _order_of(self, epoch: int) -> Sequence[int]:
        if self.order and (self.order_repeats or epoch == 0):
            return self.order
        return _shuffled(self.rows, self.seed, epoch)


def plan_training(
    rows: int,
    choices: HyperParameters,
    *,
    order: Sequence[int] = (),
    order_repeats: bool = False,
) -> TrainingPlan:
    """The plan for a train split of `rows` rows, at least 1.

    Args:
        order: Every row once, as the first epoch shall see them; empty to shuffle it too.
        order_repeats: Whether later epochs use the same order.

    Raises:
        ValueError: the order is one of another number of rows, or epochs or batch size are open.
    """
    if not (choices.epochs and choices.batch_size):
        raise ValueError("epochs and batch size are not decided")
    if order and len(order) != rows:
        raise ValueError(f"an order of {len(order)} rows for {rows}")
    row_visits = ceil(choices.epochs * rows)
    if choices.max_steps:
        row_visits = min(row_visits, choices.max_steps * choices.batch_size)
    steps = ceil(row_visits / choices.batch_size)
    return TrainingPlan(
        rows=rows,
        batch_size=choices.batch_size,
        row_visits=row_visits,
        seed=choices.seed,
        # At least one step is left at the peak or below it on the way down.
        warmup_steps=min(ceil(choices.warmup_ratio * steps), steps - 1),
        peak_learning_rate=choices.learning_rate,
        order=order,
        order_repeats=order_repeats,
    )


@lru_cache(maxsize=2)
def _shuffled(rows: int, seed: int, epoch: int) -> Sequence[int]:
    # Eight bytes a row, where a list has an object for each.
    order = array("q", range(rows))
    # A generator of its own: whoever else draws random numbers does not change the order.
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order
