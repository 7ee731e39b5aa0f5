"""From the rows of a micro-batch to the forward passes that compute their loss."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from modelmill_trainer.training.token_tree import TokenTree

PACK_NODES = 256
"""Of a model that its modules compute. Attention costs the square of a pack's nodes there, the rest
of the layer grows in proportion to them; around here the first is still small beside the second,
for small models too."""
FUSED_PACK_NODES = 512
"""Of a model that is computed by few operations: attention goes block by block, a node needs a
fifth of the memory, and products of some 400 rows are the quickest."""


Span = tuple[int, int]
"""From and to which of a row's ids; the second is the first that is no longer part of it."""


@dataclass(frozen=True)
class Example:
    """A row in token ids."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    """Where the loss is taken, in order, at least one and none from 0; the rest is only read."""
    rejected: tuple[int, ...] | None = None
    """Of a preference pair: the worse answer, in the place of the last span."""
    reference: tuple[float, float] | None = None
    """Of a preference pair: log-likelihoods of the better and the worse answer by the base, where
    it cannot be asked any more."""

    @classmethod
    def answered(cls, ids: Sequence[int], answer_start: int) -> "Example":
        """A row that is learned from there to its end."""
        return cls(tuple(ids), ((answer_start, len(ids)),))

    @property
    def answer_start(self) -> int:
        """The first id that the loss is taken on."""
        return self.spans[0][0]

    @property
    def answer_tokens(self) -> int:
        """Tokens that the loss is taken on."""
        return sum(last - first for first, last in self.spans)

    @property
    def tokens(self) -> int:
        """Tokens that are read, of both answers of a pair."""
        return len(self.ids) + len(self.rejected or ())

    @property
    def longest(self) -> int:
        """Tokens of the row, or of its prompt with the longer answer."""
        return max(len(self.ids), self.spans[-1][0] + len(self.rejected or ()))

    @property
    def computed(self) -> tuple[int, ...]:
        """The ids that need a node. The last that is learned is only predicted."""
        return self.ids[: self.spans[-1][1] - 1]


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
        return len(self.tree) + self.tree.growth(example.computed)

    def add(self, example: Example) -> None:
        """Lay out a row."""
        path = self.tree.add(example.computed)
        for first, last in example.spans:
            self.predicting += path[first - 1 : last - 1]
            self.targets += example.ids[first:last]


def pack(examples: Iterable[Example], *, max_nodes: int = PACK_NODES) -> list[Pack]:
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
    return sum(example.tokens for example in examples)
