"""Cross-entropy loss of answer tokens."""

from collections.abc import Sequence

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
    return torch.nn.functional.cross_entropy(logits, torch.tensor(rows.targets), reduction="sum")


@torch.no_grad()
def mean_loss(model: TrainedModel, examples: Sequence[TrainingExample]) -> float:
    """Mean cross-entropy of answer tokens, without gradients."""
    total = sum(
        float(answer_loss(model, rows)) for rows in pack(examples, max_nodes=model.pack_nodes)
    )
    return total / answer_tokens(examples)
