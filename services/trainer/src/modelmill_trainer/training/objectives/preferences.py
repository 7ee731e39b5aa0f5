"""Preference objectives: DPO and KTO.

DPO (direct preference optimization) raises the chosen answer over the rejected one. Rafailov,
Sharma, Mitchell, Ermon, Manning, Finn: "Direct Preference Optimization: Your Language Model is
Secretly a Reward Model" (2023), equation 7. An answer's reward is beta times its log-likelihood
ratio to the base; a pair's loss is -log sigmoid(chosen reward - rejected reward). Both answers
share their prompt's nodes in a token tree, so that the prompt is computed once.

KTO (Kahneman-Tversky optimization): each answer is desirable or undesirable on its own. Ethayarajh,
Xu, Muennighoff, Jurafsky, Kiela: "KTO: Model Alignment as Prospect Theoretic Optimization" (2024),
equations 7 and 8, with equal weights. The chosen answer of a pair is desirable, the rejected one
undesirable; an answer without a pair is desirable.

The reference point estimates the KL divergence from the base: the mean log-likelihood gain of
mismatched prompt-answer pairs, at least 0. It covers the whole step, so that micro-batches do not
change it.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from modelmill_trainer.training.answer_packs import (
    CandidateAnswer,
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
            own = likelihoods(model, pack)
            gained = (own - reference.to(own.device)).view(-1, 2)
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


class KtoObjective:
    """KTO loss; each answer has weight 1. The reference model is the base: the adapter switched
    off."""

    def __init__(self, beta: float) -> None:
        self._beta = beta
        self._drift = 0.0
        self._wanted: list[float] = []
        self._unwanted: list[float] = []

    @torch.no_grad()
    def begin_step(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> None:
        """Estimate the reference point; it is 0 for a single row, which has no mismatched pair."""
        self._wanted, self._unwanted = [], []
        self._drift = 0.0
        if len(rows) < 2:
            return
        answers = [chosen_answer(row) for row in rows]
        others = [*answers[1:], answers[0]]
        strangers = [
            [CandidateAnswer(answer.prompt, other.ids)]
            for answer, other in zip(answers, others, strict=True)
        ]
        training = model.training
        model.train(False)
        gains: list[float] = []
        for pack in pack_answers(strangers, max_nodes=model.pack_nodes):
            gains += (likelihoods(model, pack) - base_likelihoods(model, pack)).tolist()
        model.train(training)
        self._drift = max(sum(gains) / len(gains), 0.0)

    def weight(self, rows: Sequence[TrainingExample]) -> float:
        """Number of answers."""
        return sum(1 if row.rejected is None else 2 for row in rows)

    def losses(self, model: TrainedModel, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
        """One loss per pack."""
        groups = [
            [chosen_answer(row)]
            if row.rejected is None
            else [chosen_answer(row), rejected_answer(row)]
            for row in rows
        ]
        signs = [sign for group in groups for sign in (1.0, -1.0)[: len(group)]]
        for pack in pack_answers(groups, max_nodes=model.pack_nodes):
            count = len(pack.lengths)
            reference = base_likelihoods(model, pack)
            sign = torch.tensor(signs[:count], device=reference.device)
            signs = signs[count:]
            gained = likelihoods(model, pack) - reference
            self._remember(gained.detach(), sign)
            yield (1 - torch.sigmoid(self._beta * sign * (gained - self._drift))).sum()

    def figures(self) -> dict[str, float]:
        """Mean rewards of desirable and undesirable answers, and the reference point."""
        figures = {"reward_reference": self._beta * self._drift}
        for name, rewards in (("wanted", self._wanted), ("unwanted", self._unwanted)):
            if rewards:
                figures[f"reward_{name}"] = sum(rewards) / len(rewards)
        return figures

    def _remember(self, gained: Tensor, sign: Tensor) -> None:
        rewards = self._beta * gained
        self._wanted += rewards[sign > 0].tolist()
        self._unwanted += rewards[sign < 0].tolist()
