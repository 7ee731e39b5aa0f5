"""Direct preference optimization: the better answer shall gain on the worse one.

Rafailov, Sharma, Mitchell, Ermon, Manning, Finn: "Direct Preference Optimization: Your Language
Model is Secretly a Reward Model" (2023), equation 7. An answer's reward is beta times what its
log-likelihood has gained on the base's, and the loss of a pair is -log sigmoid of the better
answer's reward less the worse one's. Both answers branch off their prompt in one tree, so that a
prompt is computed once, where a padded batch computes it twice and once more for each model.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from modelmill_trainer.training.answer_packs import (
    base_likelihoods,
    better,
    likelihoods,
    pack_answers,
    worse,
)
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import Example


class PreferBetterAnswers:
    """The loss above; a pair weighs 1.

    The base is asked in the same step, in the same tree, with the adapter off, so that a fresh
    adapter's rewards are exactly 0; rows that bring their `reference` are believed instead.
    """

    def __init__(self, beta: float) -> None:
        self._beta = beta
        self._margins: list[float] = []

    def begin_step(self, model: TrainedModel, rows: Sequence[Example]) -> None:
        """See `Objective`."""
        self._margins = []

    def weight(self, rows: Sequence[Example]) -> float:
        """Pairs."""
        return len(rows)

    def losses(self, model: TrainedModel, rows: Sequence[Example]) -> Iterator[Tensor]:
        """One for each tree."""
        left = list(rows)
        answers = ((better(row), worse(row)) for row in rows)
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
        """Mean of what the better answers' rewards are above the worse ones', and in how many
        pairs they are."""
        count = max(len(self._margins), 1)
        return {
            "reward_margin": sum(self._margins) / count,
            "reward_accuracy": sum(margin > 0 for margin in self._margins) / count,
        }
