"""From the rows of a micro-batch to the forward passes that compute their loss."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from trainer.training.token_tree import TokenTree

PACK_NODES = 256
"""Attention costs the square of a pack's nodes, the rest of the layer grows in proportion to them;
around here the first is still small beside the second, for small models too."""


@dataclass(frozen=True)
class Example:
    """A row in token ids."""

    ids: tuple[int, ...]
    answer_start: int
    """The loss is taken on `ids` from here on; what comes before is only read."""

    @property
    def answer_tokens(self) -> int:
        """Tokens that the loss is taken on."""
        return len(self.ids) - self.answer_start


@dataclass
class Pack:
    """Rows computed in one forward pass."""

    tree: TokenTree = field(default_factory=TokenTree)
    predicting: list[int] = field(default_factory=list)
    """Node after which each answer token is predicted."""
    targets: list[int] = field(default_factory=list)
    """The answer tokens."""

    def nodes_with(self, example: Example) -> int:
        """How many nodes there would be with one more row."""
        return len(self.tree) + self.tree.growth(example.ids[:-1])

    def add(self, example: Example) -> None:
        """Lay out a row. Its last token is only predicted, so it needs no node."""
        path = self.tree.add(example.ids[:-1])
        self.predicting += path[example.answer_start - 1 :]
        self.targets += example.ids[example.answer_start :]


def pack(examples: Sequence[Example], *, max_nodes: int = PACK_NODES) -> list[Pack]:
    """Lay out rows in their order; a new pack begins where one would grow beyond `max_nodes`.

    A row that is longer than that has a pack of its own.
    """
    packs: list[Pack] = []
    for example in examples:
        if not packs or packs[-1].nodes_with(example) > max_nodes:
            packs.append(Pack())
        packs[-1].add(example)
    return packs


def answer_tokens(examples: Iterable[Example]) -> int:
    """Tokens of the rows that the loss is taken on."""
    return sum(example.answer_tokens for example in examples)


def read_tokens(examples: Iterable[Example]) -> int:
    """Tokens of the rows, prompts and answers, shared beginnings counted in each row."""
    return sum(len(example.ids) for example in examples)
