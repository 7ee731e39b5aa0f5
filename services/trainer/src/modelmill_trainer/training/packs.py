"""Packs the rows of a micro-batch into token trees, one per forward pass."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import overload

from modelmill_trainer.training.token_tree import TokenTree

PACK_NODES = 256
"""Maximum nodes if modules compute the model. Attention grows with the square of the nodes; up to
this size it is small beside the rest of a layer, even in small models."""
FUSED_PACK_NODES = 512
"""Maximum nodes of the fused computation: attention is block-sparse, a node needs a fifth of the
memory, and products of about 400 rows are fastest."""


Span = tuple[int, int]
"""Half-open range of token positions in a row."""


@dataclass(frozen=True)
class TrainingExample:
    """A row as token ids, with the spans that the loss covers."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    """Loss spans in order, at least one; none starts at 0. Other tokens are context."""
    rejected: tuple[int, ...] | None = None
    """Rejected answer of a preference pair; it replaces the last span."""
    reference: tuple[float, float] | None = None
    """Precomputed log-likelihoods of chosen and rejected answer by the reference model."""

    @classmethod
    def answered(cls, ids: Sequence[int], answer_start: int) -> "TrainingExample":
        """A row with loss from `answer_start` to its end."""
        return cls(tuple(ids), ((answer_start, len(ids)),))

    @property
    def answer_start(self) -> int:
        """First position with loss."""
        return self.spans[0][0]

    @property
    def answer_tokens(self) -> int:
        """Tokens with loss."""
        return sum(last - first for first, last in self.spans)

    @property
    def tokens(self) -> int:
        """All tokens, including a rejected answer."""
        return len(self.ids) + len(self.rejected or ())

    @property
    def longest(self) -> int:
        """Length of the row with the longer of its answers."""
        return max(len(self.ids), self.spans[-1][0] + len(self.rejected or ()))

    @property
    def computed(self) -> tuple[int, ...]:
        """Tokens that need a node; the last target is only predicted."""
        return self.ids[: self.spans[-1][1] - 1]


class LazyExamples(Sequence[TrainingExample]):
    """Examples that are made when they are asked for."""

    @abstractmethod
    def example(self, place: int) -> TrainingExample:
        """The example at a place, counted from 0."""

    @overload
    def __getitem__(self, place: int) -> TrainingExample: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[TrainingExample]: ...

    def __getitem__(self, place: int | slice) -> TrainingExample | Sequence[TrainingExample]:
        if isinstance(place, slice):
            return [self.example(one) for one in range(*place.indices(len(self)))]
        return self.example(range(len(self))[place])


@dataclass
class Pack:
    """Rows of one forward pass."""

    tree: TokenTree = field(default_factory=TokenTree)
    predicting: list[int] = field(default_factory=list)
    """For each target, the node whose logits predict it."""
    targets: list[int] = field(default_factory=list)
    """Target tokens."""

    def nodes_with(self, example: TrainingExample) -> int:
        """Node count after adding another row."""
        return len(self.tree) + self.tree.growth(example.computed)

    def add(self, example: TrainingExample) -> None:
        """Add a row to the tree."""
        path = self.tree.add(example.computed)
        for first, last in example.spans:
            self.predicting += path[first - 1 : last - 1]
            self.targets += example.ids[first:last]


def pack(examples: Iterable[TrainingExample], *, max_nodes: int = PACK_NODES) -> list[Pack]:
    """Pack rows in order, each pack with at most `max_nodes` nodes.

    A longer row has a pack of its own.
    """
    packs: list[Pack] = []
    for example in examples:
        if not packs or packs[-1].nodes_with(example) > max_nodes:
            packs.append(Pack())
        packs[-1].add(example)
    return packs


def answer_tokens(examples: Iterable[TrainingExample]) -> int:
    """Total tokens with loss."""
    return sum(example.answer_tokens for example in examples)


def read_tokens(examples: Iterable[TrainingExample]) -> int:
    """Total tokens of prompts and answers; shared prefixes count for each row."""
    return sum(example.tokens for example in examples)
