"""Attention of a token tree, block by block, with its own backward pass.

Rows of a tree attend to what they share and to themselves; most of a mask by ancestry is empty. A
block computes the scores of its nodes with those that one of them sees, and nothing else. Scores
are computed again in the backward pass (as Dao et al. 2022 do) instead of being kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modelmill_trainer.training.fused.tree_blocks import Block


@dataclass(frozen=True)
class Heads:
    """How features are divided among heads."""

    queries: int
    groups: int
    """Heads of keys and of values; each serves `queries / groups` heads of queries."""
    width: int
    scaling: float


class BlockAttention(torch.autograd.Function):
    """Queries (N, H * W), keys and values (N, G * W) to (N, H * W).

    Positions are rotations of pairs of features (Su et al. 2021), by `cos` and `sin` of
    one half of them; the other half is the same.
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
        blocks: Sequence[Block],
    ) -> Tensor:
        turned = _turn(queries, cos, sin, heads)
        turned_keys = _turn(keys, cos, sin, heads)
        output = torch.zeros_like(turned)
        for block in blocks:
            query, key, value = _of_block(turned, turned_keys, values, block, heads)
            weights = _weights(query, key, block, heads)
            _scatter(torch.bmm(weights, value), output, block, heads)
        ctx.save_for_backward(turned, turned_keys, values, cos, sin)
        ctx.heads, ctx.blocks = heads, blocks
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        turned, turned_keys, values, cos, sin = ctx.saved_tensors
        heads: Heads = ctx.heads
        of_queries = torch.zeros_like(turned)
        # They gather from several blocks, in float32.
        of_keys, of_values = (torch.zeros_like(values, dtype=torch.float32) for _ in range(2))
        for block in ctx.blocks:
            query, key, value = _of_block(turned, turned_keys, values, block, heads)
            weights = _weights(query, key, block, heads)
            outcome = _stacked(gradients[0][block.first : block.last], heads)
            of_scores = _softmax_backward(torch.bmm(outcome, value.transpose(1, 2)), weights)
            block.gather(torch.bmm(weights.transpose(1, 2), outcome), of_values)
            block.gather(torch.bmm(of_scores.transpose(1, 2), query), of_keys)
            _scatter(torch.bmm(of_scores, key).mul_(heads.scaling), of_queries, block, heads)
        of_queries = _turn(of_queries, cos, -sin, heads)
        of_keys = _turn(of_keys.to(values.dtype), cos, -sin, heads)
        return of_queries, of_keys, of_values.to(values.dtype), None, None, None, None


def _turn(rows: Tensor, cos: Tensor, sin: Tensor, heads: Heads) -> Tensor:
    """Rotate every head's features."""
    turned = torch.empty_like(rows)
    before = rows.view(len(rows), -1, 2, heads.width // 2)
    first, second = before[:, :, 0], before[:, :, 1]
    after = turned.view(before.shape)
    torch.mul(first, cos, out=after[:, :, 0]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=after[:, :, 1]).addcmul_(first, sin)
    return turned


def _of_block(
    queries: Tensor, keys: Tensor, values: Tensor, block: Block, heads: Heads
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (G, shared * N, W), already scaled, keys and values (G, M, W)."""
    query = _stacked(queries[block.first : block.last] * heads.scaling, heads)
    shape = (-1, heads.groups, heads.width)
    key, value = (block.seen(it).view(shape).transpose(0, 1) for it in (keys, values))
    return query, key, value


def _stacked(rows: Tensor, heads: Heads) -> Tensor:
    """Heads that share keys below each other, so that one product serves them."""
    shared = heads.queries // heads.groups
    parts = rows.view(len(rows), heads.groups, shared, heads.width).permute(1, 2, 0, 3)
    return parts.contiguous().flatten(1, 2)


def _scatter(stacked: Tensor, into: Tensor, block: Block, heads: Heads) -> None:
    """The inverse of `_stacked`, into the block's rows."""
    shared = heads.queries // heads.groups
    rows = into[block.first : block.last].view(-1, heads.groups, shared, heads.width)
    rows.copy_(stacked.view(heads.groups, shared, -1, heads.width).permute(2, 0, 1, 3))


def _weights(query: Tensor, key: Tensor, block: Block, heads: Heads) -> Tensor:
    """(G, shared * N, M) shares of what each query takes; rounded once, computed in float32."""
    scores = torch.bmm(query, key.transpose(1, 2))
    shared = heads.queries // heads.groups
    scores.view(heads.groups, shared, *block.mask.shape).add_(block.mask)
    return torch.softmax(scores, dim=-1)


def _softmax_backward(gradient: Tensor, weights: Tensor) -> Tensor:
    of_scores: Tensor = torch.ops.aten._softmax_backward_data(gradient, weights, -1, weights.dtype)
    return of_scores
