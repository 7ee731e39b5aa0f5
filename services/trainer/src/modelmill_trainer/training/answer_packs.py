"""Packs complete answers into token trees, and computes their log-likelihoods."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.packs import PACK_NODES, TrainingExample
from modelmill_trainer.training.token_tree import TokenTree


@dataclass(frozen=True)
class CandidateAnswer:
    """A prompt and one answer to it, as non-empty token ids."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]


def chosen_answer(row: TrainingExample) -> CandidateAnswer:
    """The answer of a row; the chosen one of a preference pair."""
    first, last = row.spans[-1]
    return CandidateAnswer(row.ids[:first], row.ids[first:last])


def rejected_answer(row: TrainingExample) -> CandidateAnswer:
    """The rejected answer of a preference pair."""
    assert row.rejected is not None  # rows without one are refused when they are read
    return CandidateAnswer(row.ids[: row.spans[-1][0]], row.rejected)


@dataclass
class AnswerPack:
    """Answers computed in one forward pass; answers to one prompt share its nodes."""

    tree: TokenTree = field(default_factory=TokenTree)
    predicting: list[int] = field(default_factory=list)
    """For each target, the node whose logits predict it."""
    targets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Token count of each answer."""

    def add(self, answer: CandidateAnswer) -> None:
        """Add a prompt and its answer to the tree."""
        path = self.tree.add(answer.prompt + answer.ids[:-1])
        self.predicting += path[len(answer.prompt) - 1 :]
        self.targets += answer.ids
        self.lengths.append(len(answer.ids))

    def nodes_with(self, answers: Sequence[CandidateAnswer]) -> int:
        """Upper bound of the node count after adding answers to one prompt."""
        first, *others = answers
        beside = sum(len(answer.ids) - 1 for answer in others)
        return len(self.tree) + self.tree.growth(first.prompt + first.ids[:-1]) + beside


def pack_answers(
    groups: Iterable[Sequence[CandidateAnswer]], *, max_nodes: int = PACK_NODES
) -> list[AnswerPack]:
    """Pack groups of answers (one prompt per group) in order; a group is never split.

    A pack has at most `max_nodes` nodes, unless a single group has more.
    """
    packs: list[AnswerPack] = []
    for answers in groups:
        if not packs or packs[-1].nodes_with(answers) > max_nodes:
            packs.append(AnswerPack())
        for answer in answers:
            packs[-1].add(answer)
    return packs


def likelihoods(model: TrainedModel, pack: AnswerPack) -> Tensor:
    """(answers,) summed log-likelihood of each answer, float32."""
    logits_P_V = model.logits(pack.tree, pack.predicting)  # noqa: N806 - shape suffix
    losses = torch.nn.functional.cross_entropy(
        logits_P_V, torch.tensor(pack.targets, device=logits_P_V.device), reduction="none"
    )
    return torch.stack([-part.sum() for part in torch.split(losses, pack.lengths)])


def base_likelihoods(model: TrainedModel, pack: AnswerPack) -> Tensor:
    """As `likelihoods`, by the base model (adapter off) and without dropout."""
    with model.as_base():
        return first_likelihoods(model, pack)


@torch.no_grad()
def first_likelihoods(model: TrainedModel, pack: AnswerPack) -> Tensor:
    """As `likelihoods`, without dropout and gradients."""
    training = model.training
    model.train(False)
    found = likelihoods(model, pack)
    model.train(training)
    return found
