"""Training objectives: the loss interface of the loop, and supervised fine-tuning."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import Pack, TrainingExample, answer_tokens, pack


def answer_loss(model: TrainedModel, rows: Pack) -> Tensor:
    """Summed cross-entropy of the answer tokens of a pack.

    The caller divides the sum by the tokens of the whole optimizer step, so that a token has the
    same weight in any pack or micro-batch.
    """
    logits = model.logits(rows.tree, rows.predicting)
    return torch.nn.functional.cross_entropy(
        logits, torch.tensor(rows.targets, device=logits.device), reduction="sum"
    )


@torch.no_grad()
def mean_loss(model: TrainedModel, examples: Sequence[TrainingExample]) -> float:
    """Mean cross-entropy of answer tokens, without gradients."""
    total = sum(
        float(answer_loss(model, rows)) for rows in pack(examples, max_nodes=model.pack_nodes)
    )
    return total / answer_tokens(examples)


class Objective(Protocol):
    """A loss over the rows of an optimizer step.

    The loop divides every loss by `weight` of the whole step, so that a row or token has the same
    weight in any forward pass or micro-batch.
    """

    def begin_step(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> None:
        """Called first in each step, with all rows of the step, in every rank."""
        ...

    def weight(self, rows: Sequence[TrainingExample]) -> float:
        """Divisor of the step's summed loss; above 0."""
        ...

    def losses(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
        """Summed losses of a micro-batch, one scalar per forward pass. The caller runs backward
        before it takes the next."""
        ...

    def figures(self) -> dict[str, float]:
        """Additional metrics of the current step."""
        ...


class AnswerObjective:
    """Supervised fine-tuning: cross-entropy of the tokens in a row's loss spans."""

    def begin_step(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> None:
        """See `Objective`."""

    def weight(self, rows: Sequence[TrainingExample]) -> float:
        """Tokens with loss."""
        return answer_tokens(rows)

    def losses(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
        """One loss per pack."""
        for part in pack(rows, max_nodes=model.pack_nodes):
            yield answer_loss(model, part)

    def figures(self) -> dict[str, float]:
        """No additional metrics."""
        return {}


@torch.no_grad()
def held_out_loss(
    objective: Objective, model: TrainedModel, rows: Sequence[TrainingExample]
) -> float:
    """Mean loss of held-out rows, without gradients."""
    objective.begin_step(model, rows)
    return sum(float(part) for part in objective.losses(model, rows)) / objective.weight(rows)
