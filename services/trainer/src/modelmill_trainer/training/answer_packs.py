"""Whole answers in one tree, and how likely a model finds each of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import PACK_NODES, Example
from modelmill_trainer.training.token_tree import TokenTree


@dataclass(frozen=True)
class Answer:
    """An answer to a prompt, in token ids; neither is empty."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]


def better(row: Example) -> Answer:
    """The answer of a row; of a pair the better one."""
    first, last = row.spans[-1]
    return Answer(row.ids[:first], row.ids[first:last])


def worse(row: Example) -> Answer:
    """The worse answer of a pair."""
    assert row.rejected is not None  # rows without one are refused when they are read
    return Answer(row.ids[: row.spans[-1][0]], row.rejected)


@dataclass
class AnswerPack:
    """Answers computed in one forward pass: those of one prompt branch off its last node."""

    tree: TokenTree = field(default_factory=TokenTree)
    predicting: list[int] = field(default_factory=list)
    """Node after which each token of an answer is predicted."""
    targets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Tokens of each answer."""

    def add(self, answer: Answer) -> None:
        """Lay out an answer behind its prompt."""
        path = self.tree.add(answer.prompt + answer.ids[:-1])
        self.predicting += path[len(answer.prompt) - 1 :]
        self.targets += answer.ids
        self.lengths.append(len(answer.ids))

    def nodes_with(self, answers: Sequence[Answer]) -> int:
        """How many nodes there would be at most with answers to one prompt."""
        first, *others = answers
        beside = sum(len(answer.ids) - 1 for answer in others)
        return len(self.tree) + self.tree.growth(first.prompt + first.ids[:-1]) + beside


def pack_answers(
    groups: Iterable[Sequence[Answer]], *, max_nodes: int = PACK_NODES
) -> list[AnswerPack]:
    """Lay out groups of answers to one prompt each, in their order; a group stays together.

    A new pack begins where one would grow beyond `max_nodes`; a longer group has its own.
    """
    packs: list[AnswerPack] = []
    for answers in groups:
        if not packs or packs[-1].nodes_with(answers) > max_nodes:
            packs.append(AnswerPack())
        for answer in answers:
            packs[-1].add(answer)
    return packs


def likelihoods(model: TrainedModel, pack: AnswerPack) -> Tensor:
    """(answers,) summed log-likelihood of the tokens of each, float32."""
    logits_P_V = model.logits(pack.tree, pack.predicting)  # noqa: N806 - shape suffix
    losses = torch.nn.functional.cross_entropy(
        logits_P_V, torch.tensor(pack.targets), reduction="none"
    )
    return torch.stack([-part.sum() for part in torch.split(losses, pack.lengths)])


def base_likelihoods(model: TrainedModel, pack: AnswerPack) -> Tensor:
    """The same by the base of an adapted model, without dropout."""
    with model.as_base():
        return first_likelihoods(model, pack)


@torch.no_grad()
def first_likelihoods(model: TrainedModel, pack: AnswerPack) -> Tensor:
    """The same by a model as it is before its first step, without dropout."""
    training = model.training
    model.train(False)
    found = likelihoods(model, pack)
    model.train(training)
    return found
