"""A token tree cut into blocks of nodes, each with the nodes that it attends to."""

from dataclasses import dataclass

import torch
from torch import Tensor

from modelmill_trainer.training.token_tree import TokenTree

BLOCK_NODES = 128
"""Scores of a block of so many nodes stay in the cache of a core."""


@dataclass(frozen=True)
class Block:
    """Nodes `first` to before `last`, and who they attend to."""

    first: int
    last: int
    outer: Tensor
    """Nodes before `first` that one of them attends to, in their order."""
    mask: Tensor
    """Added to the scores: 0 where a node attends to another, else minus infinity. Columns are
    those of `outer`, then the block's own nodes."""

    def seen(self, rows: Tensor) -> Tensor:
        """Of rows of all nodes those that the block attends to."""
        own = rows[self.first : self.last]
        return torch.cat([rows[self.outer], own]) if len(self.outer) else own

    def gather(self, parts: Tensor, into: Tensor) -> None:
        """Add to the rows of all nodes what belongs to those that the block attends to."""
        rows = parts.transpose(0, 1).flatten(1)
        outer = len(self.outer)
        into[self.first : self.last] += rows[outer:]
        if outer:
            into.index_add_(0, self.outer, rows[:outer].to(into.dtype))


def blocks_of(tree: TokenTree, dtype: torch.dtype) -> list[Block]:
    """Every node in one block; a block's nodes follow each other."""
    visible = tree.visible_N_N()
    blocks = []
    for first in range(0, len(tree), BLOCK_NODES):
        last = min(first + BLOCK_NODES, len(tree))
        rows = visible[first:last]
        outer = rows[:, :first].any(dim=0).nonzero().flatten()
        seen = torch.cat([rows[:, outer], rows[:, first:last]], dim=1)
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, float("-inf"))
        blocks.append(Block(first, last, outer, mask))
    return blocks
