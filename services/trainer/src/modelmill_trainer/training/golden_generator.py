"""Generates goldens with the trained model in memory, over token trees."""

from collections.abc import Callable, Iterator, Sequence

import torch
from modelmill_evaluation.parity.goldens import Logits

from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.token_tree import TokenTree

TREE_NODES = 512
"""Node limit of a forward pass; a longer prompt has a pass of its own."""

Ids = Sequence[int]


class TrainedModelGenerator:
    """Generates in the training dtype, and computes the golden logits in float32.

    A deviation of a build from float32 logits is then due to the build alone. `as_trained` shows
    the deviation of the training dtype itself.

    Args:
        on_pass: Called after each forward pass; a large model takes minutes for all.
    """

    def __init__(
        self,
        model: TrainedModel,
        end_ids: frozenset[int],
        on_pass: Callable[[], None] = lambda: None,
    ) -> None:
        self._model = model
        self._end_ids = end_ids
        self._on_pass = on_pass
        self.as_trained: list[Logits] = []
        """Golden logits in the training dtype."""

    @torch.no_grad()
    def continuations(self, prompts: Sequence[Ids], new_tokens: int) -> list[list[int]]:
        """See `modelmill_evaluation.parity.taking.AnswerGenerator`."""
        generated: list[list[int]] = []
        for group in _groups(prompts):
            generated += self._continue(group, new_tokens)
        return generated

    @torch.no_grad()
    def logits(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> Iterator[Logits]:
        """See `modelmill_evaluation.parity.taking.AnswerGenerator`."""
        self.as_trained = list(self._rows(prompts, continuations))
        self._model.to_float32()
        yield from self._rows(prompts, continuations)

    def _continue(self, prompts: Sequence[Ids], new_tokens: int) -> list[list[int]]:
        tree = TokenTree()
        ends = [tree.add(prompt)[-1] for prompt in prompts]
        generated: list[list[int]] = [[] for _ in prompts]
        active = list(range(len(prompts)))
        for _ in range(new_tokens):
            chosen = self._model.logits(tree, [ends[place] for place in active]).argmax(dim=-1)
            self._on_pass()
            for place, token in zip(active, chosen.tolist(), strict=True):
                generated[place].append(token)
                ends[place] = tree.add([token], below=ends[place])[0]
            active = [place for place in active if generated[place][-1] not in self._end_ids]
            if not active:
                break
        return generated

    def _rows(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> Iterator[Logits]:
        done = 0
        for group in _groups(prompts):
            tree = TokenTree()
            nodes: list[list[int]] = []
            for prompt, generated in zip(group, continuations[done:], strict=False):
                last = tree.add(prompt)[-1]
                nodes.append([last, *tree.add(generated[:-1], below=last)])
            done += len(group)
            rows = self._model.logits(tree, [node for path in nodes for node in path])
            self._on_pass()
            first = 0
            for path in nodes:
                yield rows[first : first + len(path)].cpu().numpy()
                first += len(path)


def _groups(prompts: Sequence[Ids]) -> Iterator[Sequence[Ids]]:
    """Split prompts, in order, into groups that fit into a tree; at least one each."""
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
