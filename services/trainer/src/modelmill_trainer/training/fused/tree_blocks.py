"""Splits a token tree into blocks of nodes, with the nodes that each block attends to."""

from dataclasses import dataclass

import torch
from torch import Tensor

from modelmill_trainer.training.token_tree import TokenTree

BLOCK_NODES = 128
"""Block size; the scores of a block fit into a core's cache."""


@dataclass(frozen=True)
class AttentionBlock:
    """Nodes `first` to `last` (exclusive), and the nodes that they attend to."""

    first: int
    last: int
    outer: Tensor
    """Nodes before `first` that the block attends to, in ascending order."""
    mask: Tensor
    """Additive mask, 0 or minus infinity. Columns are `outer`, then the block's own nodes."""

    def seen(self, rows: Tensor) -> Tensor:
        """Select the rows of nodes that the block attends to."""
        own = rows[self.first : self.last]
        return torch.cat([rows[self.outer], own]) if len(self.outer) else own

    def gather(self, parts: Tensor, into: Tensor) -> None:
        """Inverse of `seen`: add rows to those of the nodes that the block attends to."""
        rows = parts.transpose(0, 1).flatten(1)
        outer = len(self.outer)
        into[self.first : self.last] += rows[outer:]
        if outer:
            into.index_add_(0, self.outer, rows[:outer].to(into.dtype))


def blocks_of(tree: TokenTree, dtype: torch.dtype) -> list[AttentionBlock]:
    """Partition of the tree's nodes into consecutive blocks."""
    visible = tree.visible_N_N()
    blocks = []
    for first in range(0, len(tree), BLOCK_NODES):
        last = min(first + BLOCK_NODES, len(tree))
        rows = visible[first:last]
        outer = rows[:, :first].any(dim=0).nonzero().flatten()
        seen = torch.cat([rows[:, outer], rows[:, first:last]], dim=1)
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, float("-inf"))
        blocks.append(AttentionBlock(first, last, outer, mask))
    return blocks
