"""Knowledge distillation: match the teacher's next-token distribution on answer tokens.


Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network" (2015). With z the logits of
the teacher and s those of the student, T the temperature and w the teacher's weight, a token
costs (1 - w) * -log softmax(s)[token] + w * T^2 * KL(softmax(z / T) || softmax(s / T)); the square
keeps the gradient's size when T changes.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import TrainingExample, answer_tokens, pack

CHUNK_TOKENS = 64
"""Tokens whose logits are in memory at a time: 64 rows of a vocabulary of 150,000 are 38 MB per
model. With more tokens, logits are recomputed in the backward pass (activation checkpointing)."""


class DistillationObjective:
    """Distillation loss; each token has weight 1.

    The comparison covers the common part of both vocabularies: with the same tokenizer the rest is
    padding.
    """

    def __init__(self, teacher: TrainedModel, choices: HyperParameters) -> None:
        """`teacher` is frozen and has the student's tokenizer."""
        self.teacher = teacher
        self._temperature = choices.distillation_temperature
        self._share = choices.distillation_weight
        self._divergence = 0.0
        self._tokens = 0

    def begin_step(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> None:
        """See `Objective`."""
        self._divergence, self._tokens = 0.0, 0

    def weight(self, rows: Sequence[TrainingExample]) -> float:
        """Tokens with loss."""
        return answer_tokens(rows)

    def losses(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
        """One loss per pack."""
        for part in pack(rows, max_nodes=model.pack_nodes):
            with torch.no_grad():
                teacher_P_C = self.teacher.states(part.tree, part.predicting)  # noqa: N806
            student_P_C = model.states(part.tree, part.predicting)  # noqa: N806 - shape suffix
            targets = torch.tensor(part.targets, device=student_P_C.device)
            self._tokens += len(targets)
            yield self._summed(model, student_P_C, teacher_P_C, targets)

    def figures(self) -> dict[str, float]:
        """Mean KL divergence per token, at the temperature."""
        return {"teacher_divergence": self._divergence / max(self._tokens, 1)}

    def _summed(
        self,
        model: TrainedModel,
        student_P_C: Tensor,  # noqa: N803 - shape suffix
        teacher_P_C: Tensor,  # noqa: N803
        targets: Tensor,
    ) -> Tensor:
        chunks = zip(
            *(torch.split(one, CHUNK_TOKENS) for one in (student_P_C, teacher_P_C, targets)),
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
        student_P_C: Tensor,  # noqa: N803 - shape suffix
        teacher_P_C: Tensor,  # noqa: N803
        targets: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Summed loss and divergence."""
        with torch.no_grad():
            taught = self.teacher.logits_of_states(teacher_P_C)
        learned = model.logits_of_states(student_P_C)
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
