"""Distillation by logits: where the rows' answers are predicted, predict what a teacher does.

Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network" (2015). With z the logits of
the teacher and s those of the student, T the temperature and w the teacher's share, a learned token
costs (1 - w) * -log softmax(s)[token] + w * T^2 * KL(softmax(z / T) || softmax(s / T)); the square
keeps the gradient's size when T changes.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import Example, answer_tokens, pack

CHUNK_TOKENS = 64
"""Logits of both models over so many tokens are in memory at a time: 64 of 150,000 words are 38 MB
each. They are computed once more in the backward pass where there are more tokens than that."""


class FollowTeacher:
    """The loss above; a learned token weighs 1.

    Words that only one of the vocabularies has, which are padding when the tokenizer is the same,
    are left out of the comparison.
    """

    def __init__(self, teacher: TrainedModel, choices: HyperParameters) -> None:
        """`teacher` has the tokenizer of whom it teaches; nothing of it changes."""
        self._teacher = teacher
        self._temperature = choices.distillation_temperature
        self._share = choices.distillation_weight
        self._divergence = 0.0
        self._tokens = 0

    def begin_step(self, model: TrainedModel, rows: Sequence[Example]) -> None:
        """See `Objective`."""
        self._divergence, self._tokens = 0.0, 0

    def weight(self, rows: Sequence[Example]) -> float:
        """Learned tokens."""
        return answer_tokens(rows)

    def losses(self, model: TrainedModel, rows: Sequence[Example]) -> Iterator[Tensor]:
        """One for each pack."""
        for part in pack(rows, max_nodes=model.pack_nodes):
            with torch.no_grad():
                taught_P_C = self._teacher.states(part.tree, part.predicting)  # noqa: N806
            learned_P_C = model.states(part.tree, part.predicting)  # noqa: N806 - shape suffix
            targets = torch.tensor(part.targets)
            self._tokens += len(targets)
            yield self._summed(model, learned_P_C, taught_P_C, targets)

    def figures(self) -> dict[str, float]:
        """Mean divergence of a token from the teacher's distribution, at the temperature."""
        return {"teacher_divergence": self._divergence / max(self._tokens, 1)}

    def _summed(
        self,
        model: TrainedModel,
        learned_P_C: Tensor,  # noqa: N803 - shape suffix
        taught_P_C: Tensor,  # noqa: N803
        targets: Tensor,
    ) -> Tensor:
        chunks = zip(
            *(torch.split(one, CHUNK_TOKENS) for one in (learned_P_C, taught_P_C, targets)),
            strict=True,
        )
        if len(targets) <= CHUNK_TOKENS:
            found = [self._chunk(model, *chunk) for chunk in chunks]
        else:
            found = [
                checkpoint(self._chunk, model, *chunk, use_reentrant=False) for chunk in chunks
            ]
        self._divergence += sum(float(divergence.detach()) for _, divergence in found)
        return torch.stack([loss for loss, _ in found]).sum()

    def _chunk(
        self,
        model: TrainedModel,
        learned_P_C: Tensor,  # noqa: N803 - shape suffix
        taught_P_C: Tensor,  # noqa: N803
        targets: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Summed loss and divergence."""
        with torch.no_grad():
            taught = self._teacher.scores(taught_P_C)
        learned = model.scores(learned_P_C)
        answers = torch.nn.functional.cross_entropy(learned, targets, reduction="sum")
        words = min(taught.shape[1], learned.shape[1])
        divergence = torch.nn.functional.kl_div(
            torch.log_softmax(learned[:, :words] / self._temperature, dim=-1),
            torch.log_softmax(taught[:, :words] / self._temperature, dim=-1),
            reduction="sum",
            log_target=True,
        )
        weighted = self._share * self._temperature**2 * divergence
        return (1 - self._share) * answers + weighted, divergence
