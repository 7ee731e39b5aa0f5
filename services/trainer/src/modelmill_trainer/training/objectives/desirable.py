"""Kahneman-Tversky optimization: each answer by itself is wanted or unwanted.

Ethayarajh, Xu, Muennighoff, Jurafsky, Kiela: "KTO: Model Alignment as Prospect Theoretic
Optimization" (2024), equations 7 and 8, both kinds of answers with weight 1. Of a preference pair
the better answer is wanted and the worse one not; a row without a worse answer is wanted.

The reference point is how far the model as a whole has gone from its base: the mean gain of
answers to prompts that they do not belong to, never below 0, taken over the whole step so that it
does not depend on how the step is divided.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from modelmill_trainer.training.answer_packs import (
    Answer,
    base_likelihoods,
    better,
    likelihoods,
    pack_answers,
    worse,
)
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import Example


class WantAnswers:
    """The loss above; an answer weighs 1. The base is asked with the adapter off."""

    def __init__(self, beta: float) -> None:
        self._beta = beta
        self._drift = 0.0
        self._wanted: list[float] = []
        self._unwanted: list[float] = []

    @torch.no_grad()
    def begin_step(self, model: TrainedModel, rows: Sequence[Example]) -> None:
        """Measure the reference point. Of a single row there is none, and it counts as 0."""
        self._wanted, self._unwanted = [], []
        self._drift = 0.0
        if len(rows) < 2:
            return
        answers = [better(row) for row in rows]
        others = [*answers[1:], answers[0]]
        strangers = [
            [Answer(answer.prompt, other.ids)]
            for answer, other in zip(answers, others, strict=True)
        ]
        training = model.training
        model.train(False)
        gains: list[float] = []
        for pack in pack_answers(strangers, max_nodes=model.pack_nodes):
            gains += (likelihoods(model, pack) - base_likelihoods(model, pack)).tolist()
        model.train(training)
        self._drift = max(sum(gains) / len(gains), 0.0)

    def weight(self, rows: Sequence[Example]) -> float:
        """Answers."""
        return sum(1 if row.rejected is None else 2 for row in rows)

    def losses(self, model: TrainedModel, rows: Sequence[Example]) -> Iterator[Tensor]:
        """One for each tree."""
        groups = [
            [better(row)] if row.rejected is None else [better(row), worse(row)] for row in rows
        ]
        signs = [sign for group in groups for sign in (1.0, -1.0)[: len(group)]]
        for pack in pack_answers(groups, max_nodes=model.pack_nodes):
            count = len(pack.lengths)
            sign, signs = torch.tensor(signs[:count]), signs[count:]
            reference = base_likelihoods(model, pack)
            gained = likelihoods(model, pack) - reference
            self._remember(gained.detach(), sign)
            yield (1 - torch.sigmoid(self._beta * sign * (gained - self._drift))).sum()

    def figures(self) -> dict[str, float]:
        """Mean rewards of both kinds, and the reference point."""
        figures = {"reward_reference": self._beta * self._drift}
        for name, rewards in (("wanted", self._wanted), ("unwanted", self._unwanted)):
            if rewards:
                figures[f"reward_{name}"] = sum(rewards) / len(rewards)
        return figures

    def _remember(self, gained: Tensor, sign: Tensor) -> None:
        rewards = self._beta * gained
        self._wanted += rewards[sign > 0].tolist()
        self._unwanted += rewards[sign < 0].tolist()
