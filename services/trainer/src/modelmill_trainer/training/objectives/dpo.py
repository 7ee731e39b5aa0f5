"""DPO (direct preference optimization): raise the chosen answer over the rejected one.


Rafailov, Sharma, Mitchell, Ermon, Manning, Finn: "Direct Preference Optimization: Your Language
Model is Secretly a Reward Model" (2023), equation 7. An answer's reward is beta times its
log-likelihood ratio to the base; a pair's loss is -log sigmoid(chosen reward - rejected reward).

Both answers share their prompt's nodes in a token tree, so that the prompt is computed once.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from modelmill_trainer.training.answer_packs import (
    base_likelihoods,
    chosen_answer,
    likelihoods,
    pack_answers,
    rejected_answer,
)
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import TrainingExample


class DpoObjective:
    """DPO loss; each pair has weight 1.

    The reference model is the base with the adapter switched off, in the same tree: a new adapter's
    rewards are exactly 0. Rows with a precomputed `reference` use that instead.
    """

    def __init__(self, beta: float) -> None:
        self._beta = beta
        self._margins: list[float] = []

    def begin_step(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> None:
        """See `Objective`."""
        self._margins = []

    def weight(self, rows: Sequence[TrainingExample]) -> float:
        """Number of pairs."""
        return len(rows)

    def losses(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
        """One loss per pack."""
        left = list(rows)
        answers = ((chosen_answer(row), rejected_answer(row)) for row in rows)
        for pack in pack_answers(answers, max_nodes=model.pack_nodes):
            pairs, left = left[: len(pack.lengths) // 2], left[len(pack.lengths) // 2 :]
            known = [row.reference for row in pairs if row.reference is not None]
            if len(known) == len(pairs):
                reference = torch.tensor(known).flatten()
            else:
                reference = base_likelihoods(model, pack)
            gained = (likelihoods(model, pack) - reference).view(-1, 2)
            margins = self._beta * (gained[:, 0] - gained[:, 1])
            self._margins += margins.detach().tolist()
            yield -torch.nn.functional.logsigmoid(margins).sum()

    def figures(self) -> dict[str, float]:
        """Mean reward margin, and the share of pairs with a positive margin."""
        count = max(len(self._margins), 1)
        return {
            "reward_margin": sum(self._margins) / count,
            "reward_accuracy": sum(margin > 0 for margin in self._margins) / count,
        }
