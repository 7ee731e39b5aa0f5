"""How likely a model finds texts that follow one prompt."""

from collections.abc import Sequence

import torch

from trainer.training.model import TrainedModel
from trainer.training.token_tree import TokenTree


class TreeScorer:
    """Scores all continuations of a prompt in one forward pass (see `evaluation`).

    They branch off the prompt's last token; what several begin with is computed once, and the last
    token of each is only predicted. For 25 one-word labels that is some 25 tokens beside the
    prompt, where one pass a label would compute the prompt 25 times.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._model = model

    @torch.no_grad()
    def __call__(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]], /
    ) -> list[float]:
        """Summed log-likelihood of each continuation after the prompt."""
        tree = TokenTree()
        last = tree.add(prompt)[-1]
        rows = [[last, *tree.add(tokens[:-1], below=last)] for tokens in continuations]
        nodes = sorted({node for row in rows for node in row})
        place = {node: index for index, node in enumerate(nodes)}
        likelihoods_P_V = torch.log_softmax(  # noqa: N806 - shape suffix
            self._model.logits(tree, nodes), dim=-1
        )
        return [
            float(likelihoods_P_V[[place[node] for node in row], list(tokens)].sum())
            for row, tokens in zip(rows, continuations, strict=True)
        ]
