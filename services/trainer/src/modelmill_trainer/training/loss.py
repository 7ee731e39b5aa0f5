"""What training makes smaller."""

from collections.abc import Sequence

import torch
from torch import Tensor

from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import Example, Pack, answer_tokens, pack


def answer_loss(model: TrainedModel, rows: Pack) -> Tensor:
    """Summed negative log-likelihood of the answer tokens of a pack, each after what precedes it.

    A sum, not a mean: the caller divides by the tokens of the whole optimizer step, so that a
    token weighs the same in whichever pack or micro-batch it lies.
    """
    logits = model.logits(rows.tree, rows.predicting)
    return torch.nn.functional.cross_entropy(logits, torch.tensor(rows.targets), reduction="sum")


@torch.no_grad()
def mean_loss(model: TrainedModel, examples: Sequence[Example]) -> float:
    """Mean negative log-likelihood of the answer tokens of rows, nothing learned."""
    total = sum(
        float(answer_loss(model, rows)) for rows in pack(examples, max_nodes=model.pack_nodes)
    )
    return total / answer_tokens(examples)
