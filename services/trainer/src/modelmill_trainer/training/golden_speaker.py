"""The trained model as goldens are taken from it: over token trees, as it was trained."""

from collections.abc import Iterator, Sequence

import torch
from modelmill_evaluation.parity.goldens import Logits

from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.token_tree import TokenTree

TREE_NODES = 512
"""Prompts share a forward pass up to here; one that is longer has a pass of its own."""

Ids = Sequence[int]


class TrainedSpeaker:
    """Speaks in the format that it was trained in, and computes its goldens in float32.

    float32 of the same weights: what a form differs by is then its own doing, and what training
    itself lost by its format is seen too, in `as_trained`.
    """

    def __init__(self, model: TrainedModel, end_ids: frozenset[int]) -> None:
        self._model = model
        self._end_ids = end_ids
        self.as_trained: list[Logits] = []
        """The logits of the goldens in the format of training."""

    @torch.no_grad()
    def continuations(self, prompts: Sequence[Ids], new_tokens: int) -> list[list[int]]:
        """See `modelmill_evaluation.parity.taking.Speaker`."""
        spoken: list[list[int]] = []
        for group in _groups(prompts):
            spoken += self._continue(group, new_tokens)
        return spoken

    @torch.no_grad()
    def logits(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> Iterator[Logits]:
        """See `modelmill_evaluation.parity.taking.Speaker`."""
        self.as_trained = list(self._rows(prompts, continuations))
        self._model.widen()
        yield from self._rows(prompts, continuations)

    def _continue(self, prompts: Sequence[Ids], new_tokens: int) -> list[list[int]]:
        tree = TokenTree()
        ends = [tree.add(prompt)[-1] for prompt in prompts]
        spoken: list[list[int]] = [[] for _ in prompts]
        speaking = list(range(len(prompts)))
        for _ in range(new_tokens):
            chosen = self._model.logits(tree, [ends[place] for place in speaking]).argmax(dim=-1)
            for place, token in zip(speaking, chosen.tolist(), strict=True):
                spoken[place].append(token)
                ends[place] = tree.add([token], below=ends[place])[0]
            speaking = [place for place in speaking if spoken[place][-1] not in self._end_ids]
            if not speaking:
                break
        return spoken

    def _rows(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> Iterator[Logits]:
        done = 0
        for group in _groups(prompts):
            tree = TokenTree()
            nodes: list[list[int]] = []
            for prompt, spoken in zip(group, continuations[done:], strict=False):
                last = tree.add(prompt)[-1]
                nodes.append([last, *tree.add(spoken[:-1], below=last)])
            done += len(group)
            rows = self._model.logits(tree, [node for path in nodes for node in path])
            first = 0
            for path in nodes:
                yield rows[first : first + len(path)].cpu().numpy()
                first += len(path)


def _groups(prompts: Sequence[Ids]) -> Iterator[Sequence[Ids]]:
    """Prompts in order, as many together as fit in a tree; at least one."""
    first = 0
    while first < len(prompts):
        tree = TokenTree()
        last = first
        while last < len(prompts):
            tree.add(prompts[last])
            last += 1
            if len(tree) >= TREE_NODES:
                break
        yield prompts[first:last]
        first = last
