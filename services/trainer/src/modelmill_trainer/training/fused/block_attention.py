"""Block-sparse attention over a token tree, with its own backward pass.

A node attends only to its ancestors, so most of the N x N mask is empty. A block computes scores
only with nodes that at least one of its nodes attends to. The backward pass recomputes scores
instead of storing them (as Dao et al. 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Heads:
    """Layout of attention heads."""

    queries: int
    groups: int
    """Key/value heads; each serves `queries / groups` query heads (grouped-query attention)."""
    width: int
    scaling: float


class BlockAttention(torch.autograd.Function):
    """Attention: queries (N, H * W), keys and values (N, G * W) to (N, H * W).

    Rotary position embedding (Su et al. 2021) is applied inside; `cos` and `sin` hold one half of
    the features, as the other half is equal.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        cos: Tensor,
        sin: Tensor,
        heads: Heads,
        blocks: Sequence[AttentionBlock],
    ) -> Tensor:
        rotated = _rotate(queries, cos, sin, heads)
        rotated_keys = _rotate(keys, cos, sin, heads)
        output = torch.zeros_like(rotated)
        for block in blocks:
            query, key, value = _of_block(rotated, rotated_keys, values, block, heads)
            weights = _weights(query, key, block, heads)
            _scatter(torch.bmm(weights, value), output, block, heads)
        ctx.save_for_backward(rotated, rotated_keys, values, cos, sin)
        ctx.heads, ctx.blocks = heads, blocks
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        rotated, rotated_keys, values, cos, sin = ctx.saved_tensors
        heads: Heads = ctx.heads
        of_queries = torch.zeros_like(rotated)
        # Accumulated over several blocks, so in float32.
        of_keys, of_values = (torch.zeros_like(values, dtype=torch.float32) for _ in range(2))
        for block in ctx.blocks:
            query, key, value = _of_block(rotated, rotated_keys, values, block, heads)
            weights = _weights(query, key, block, heads)
            outcome = _stacked(gradients[0][block.first : block.last], heads)
            of_scores = _softmax_backward(torch.bmm(outcome, value.transpose(1, 2)), weights)
            block.gather(torch.bmm(weights.transpose(1, 2), outcome), of_values)
            block.gather(torch.bmm(of_scores.transpose(1, 2), query), of_keys)
            _scatter(torch.bmm(of_scores, key).mul_(heads.scaling), of_queries, block, heads)
        of_queries = _rotate(of_queries, cos, -sin, heads)
        of_keys = _rotate(of_keys.to(values.dtype), cos, -sin, heads)
        return of_queries, of_keys, of_values.to(values.dtype), None, None, None, None


def _rotate(rows: Tensor, cos: Tensor, sin: Tensor, heads: Heads) -> Tensor:
    """Apply rotary position embedding to every head."""
    rotated = torch.empty_like(rows)
    before = rows.view(len(rows), -1, 2, heads.width // 2)
    first, second = before[:, :, 0], before[:, :, 1]
    after = rotated.view(before.shape)
    torch.mul(first, cos, out=after[:, :, 0]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=after[:, :, 1]).addcmul_(first, sin)
    return rotated


def _of_block(
    queries: Tensor, keys: Tensor, values: Tensor, block: AttentionBlock, heads: Heads
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (G, shared * N, W), already scaled, keys and values (G, M, W)."""
    query = _stacked(queries[block.first : block.last] * heads.scaling, heads)
    shape = (-1, heads.groups, heads.width)
    key, value = (block.seen(it).view(shape).transpose(0, 1) for it in (keys, values))
    return query, key, value


def _stacked(rows: Tensor, heads: Heads) -> Tensor:
    """Stack query heads that share a key head, so that one product serves them."""
    shared = heads.queries // heads.groups
    parts = rows.view(len(rows), heads.groups, shared, heads.width).permute(1, 2, 0, 3)
    return parts.contiguous().flatten(1, 2)


def _scatter(stacked: Tensor, into: Tensor, block: AttentionBlock, heads: Heads) -> None:
    """Inverse of `_stacked`, written into the block's rows."""
    shared = heads.queries // heads.groups
    rows = into[block.first : block.last].view(-1, heads.groups, shared, heads.width)
    rows.copy_(stacked.view(heads.groups, shared, -1, heads.width).permute(2, 0, 1, 3))


def _weights(query: Tensor, key: Tensor, block: AttentionBlock, heads: Heads) -> Tensor:
    """(G, shared * N, M) attention weights; softmax accumulates in float32."""
    scores = torch.bmm(query, key.transpose(1, 2))
    shared = heads.queries // heads.groups
    scores.view(heads.groups, shared, *block.mask.shape).add_(block.mask)
    return torch.softmax(scores, dim=-1)


def _softmax_backward(gradient: Tensor, weights: Tensor) -> Tensor:
    of_scores: Tensor = torch.ops.aten._softmax_backward_data(gradient, weights, -1, weights.dtype)
    return of_scores
