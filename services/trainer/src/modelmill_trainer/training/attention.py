"""Attention over a token tree, registered as a transformers attention implementation."""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "token_tree"
SMALL_NODES = 512
"""Up to this size plain matrix products beat the SDPA kernel on CPU, whose backward pass is slow
with a mask. Beyond it N x N scores take too much memory."""


def register() -> None:
    """Register the function with transformers under NAME. Idempotent."""
    AttentionInterface.register(NAME, tree_attention)


def tree_attention(
    module: torch.nn.Module,
    query_1_H_N_D: Tensor,  # noqa: N803 - shape suffixes
    key_1_G_M_D: Tensor,  # noqa: N803
    value_1_G_M_D: Tensor,  # noqa: N803
    attention_mask: Tensor,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """(1, N, H, D) attention output of H query heads over G key heads, with an additive mask.

    With prefix tuning there are more keys (M) than nodes (N). In latent attention the width of
    values, and so of the output, differs from that of keys.
    """
    heads, nodes, width = query_1_H_N_D.shape[1:]
    groups, keys = key_1_G_M_D.shape[1:3]
    small = nodes <= SMALL_NODES and key_1_G_M_D.device.type == "cpu"
    if not small or dropout or scaling is None:
        output, _ = sdpa_attention_forward(
            module,
            query_1_H_N_D,
            key_1_G_M_D,
            value_1_G_M_D,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            **kwargs,
        )
        return output, None
    # Query heads of a group are stacked, so that keys and values need not be repeated.
    shared = heads // groups
    query = (query_1_H_N_D[0] * scaling).reshape(groups, shared * nodes, width)
    scores = torch.bmm(query, key_1_G_M_D[0].transpose(1, 2)).view(heads, nodes, keys)
    # Softmax accumulates in float32 internally; the scores are rounded already.
    weights = torch.softmax(scores.add_(attention_mask[0]), dim=-1)
    output = torch.bmm(weights.view(groups, -1, keys), value_1_G_M_D[0]).view(1, heads, nodes, -1)
    return output.transpose(1, 2).contiguous(), None
