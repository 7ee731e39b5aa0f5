"""Which rows each optimizer step sees, and at what learning rate: a function of seed and step.

Nothing here is remembered between steps, so a resumed run goes on with exactly the rows that an
uninterrupted one would have seen.
"""

import random
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from trainer.domain.hyper_parameters import HyperParameters


@dataclass(frozen=True)
class TrainingPlan:
    """The steps of a run over a train split.

    Rows come from an endless sequence of shuffled epochs: a batch may hold the end of one epoch and
    the beginning of the next, so all but the last are full.
    """

    rows: int
    """Rows of the train split."""
    batch_size: int
    row_visits: int
    """Rows seen in all, repeats counted."""
    seed: int
    warmup_steps: int
    peak_learning_rate: float

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return ceil(self.row_visits / self.batch_size)

    def rows_of(self, step: int) -> list[int]:
        """Indices of the rows of a step, counted from 0; the last step may have fewer."""
        first = step * self.batch_size
        last = min(first + self.batch_size, self.row_visits)
        return [
            _shuffled(self.rows, self.seed, visit // self.rows)[visit % self.rows]
            for visit in range(first, last)
        ]

    def position_after(self, step: int) -> tuple[int, int]:
        """(epoch, rows of it already seen) once `step` steps are done."""
        return divmod(min(step * self.batch_size, self.row_visits), self.rows)

    def learning_rate(self, step: int) -> float:
        """Rate of a step, counted from 0: a linear rise to the peak, then a linear fall.

        Neither end is 0: every step that is paid for teaches something.
        """
        if step < self.warmup_steps:
            share = (step + 1) / self.warmup_steps
        else:
            share = (self.steps - step) / (self.steps - self.warmup_steps)
        return self.peak_learning_rate * share


def plan_training(rows: int, choices: HyperParameters) -> TrainingPlan:
    """The plan for a train split of `rows` rows, at least 1."""
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
    )


@lru_cache(maxsize=2)
def _shuffled(rows: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(rows))
    # A generator of its own: whoever else draws random numbers does not change the order.
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return tuple(order)
