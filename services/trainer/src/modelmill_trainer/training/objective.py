"""What training makes smaller: the one place where methods of learning differ in the loop."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from modelmill_trainer.training.loss import answer_loss
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import Example, answer_tokens, pack


class Objective(Protocol):
    """A loss over the rows of an optimizer step.

    The loop divides every loss by `weight` of the whole step, so that a row or token weighs the
    same in whichever forward pass or micro-batch it lies.
    """

    def begin_step(self, model: TrainedModel, rows: Sequence[Example]) -> None:
        """Told all rows of the step, whoever computes which, before anything is asked of them."""
        ...

    def weight(self, rows: Sequence[Example]) -> float:
        """What the summed loss of a step is divided by; above 0."""
        ...

    def losses(self, model: TrainedModel, rows: Sequence[Example]) -> Iterator[Tensor]:
        """The summed loss of a micro-batch, a scalar for each forward pass; each is followed by
        its backward pass before the next is asked for."""
        ...

    def figures(self) -> dict[str, float]:
        """What else can be said of the rows since the step began."""
        ...


class LearnAnswers:
    """Negative log-likelihood of the tokens that a row marks as learned."""

    def begin_step(self, model: TrainedModel, rows: Sequence[Example]) -> None:
        """See `Objective`."""

    def weight(self, rows: Sequence[Example]) -> float:
        """Learned tokens."""
        return answer_tokens(rows)

    def losses(self, model: TrainedModel, rows: Sequence[Example]) -> Iterator[Tensor]:
        """One for each pack."""
        for part in pack(rows, max_nodes=model.pack_nodes):
            yield answer_loss(model, part)

    def figures(self) -> dict[str, float]:
        """Nothing."""
        return {}


@torch.no_grad()
def held_out_loss(objective: Objective, model: TrainedModel, rows: Sequence[Example]) -> float:
    """The loss of rows that nothing is learned from, as of one step."""
    objective.begin_step(model, rows)
    return sum(float(part) for part in objective.losses(model, rows)) / objective.weight(rows)
