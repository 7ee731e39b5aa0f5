"""How likely a model finds the choices of a question."""

from collections.abc import Sequence

import torch
from modelmill_evaluation.choices import ChoiceQuestion

from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.token_tree import TokenTree

FULL_NODES = 384
"""No further question goes into a tree of this size: long prompts are scored one by one."""


class TreeScorer:
    """Scores all choices of several questions in one forward pass.

    Questions branch off what their prompts share, and choices off the end of their prompt; what
    several choices begin with is computed once, and the last token of each is only predicted. For
    25 one-word labels that is some 25 tokens a question beside its own part of the prompt, where
    one pass a label would compute the prompt 25 times.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._model = model

    def __call__(self, questions: Sequence[ChoiceQuestion], /) -> list[list[float]]:
        """For each question the summed log-likelihood of each of its choices."""
        scores: list[list[float]] = []
        while len(scores) < len(questions):
            scores += self._score_some(questions[len(scores) :])
        return scores

    @torch.no_grad()
    def _score_some(self, questions: Sequence[ChoiceQuestion]) -> list[list[float]]:
        """Scores of the first of `questions`, as many as a pass has room for, at least one."""
        tree = TokenTree()
        rows: list[list[list[int]]] = []
        for question in questions:
            rows.append(_lay_out(tree, question))
            if len(tree) >= FULL_NODES:
                break
        nodes = sorted({node for choices in rows for nodes in choices for node in nodes})
        place = {node: index for index, node in enumerate(nodes)}
        likelihoods_P_V = torch.log_softmax(  # noqa: N806 - shape suffix
            self._model.logits(tree, nodes), dim=-1
        )
        return [
            [
                float(likelihoods_P_V[[place[node] for node in row], list(tokens)].sum())
                for row, tokens in zip(choices, question.choices, strict=True)
            ]
            for choices, question in zip(rows, questions, strict=False)
        ]


def _lay_out(tree: TokenTree, question: ChoiceQuestion) -> list[list[int]]:
    """For each choice the nodes after which its tokens are predicted."""
    last = tree.add(question.prompt_ids)[-1]
    return [[last, *tree.add(tokens[:-1], below=last)] for tokens in question.choices]
