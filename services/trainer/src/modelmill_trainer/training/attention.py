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
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """(1, N, H, D) attention output of H query heads over G key heads, with an additive mask.

    With prefix tuning there are more keys (M) than nodes (N). In latent attention the width of
    values, and so of the output, differs from that of keys.

    Args:
        s_aux: Attention sinks (gpt-oss), a score per query head that takes its share of the
            softmax and adds nothing. No kernel knows them.
    """
    small = query_1_H_N_D.shape[2] <= SMALL_NODES and key_1_G_M_D.device.type == "cpu"
    if s_aux is None and (not small or dropout or scaling is None):
        parts = (module, query_1_H_N_D, key_1_G_M_D, value_1_G_M_D, attention_mask)
        output, _ = sdpa_attention_forward(*parts, dropout=dropout, scaling=scaling, **kwargs)
        return output, None
    width = query_1_H_N_D.shape[3]
    query_H_N_D = query_1_H_N_D[0] * (width**-0.5 if scaling is None else scaling)  # noqa: N806
    weights_H_N_M = _weights(query_H_N_D, key_1_G_M_D[0], attention_mask[0], s_aux)  # noqa: N806
    if dropout:
        weights_H_N_M = torch.dropout(weights_H_N_M, dropout, module.training)  # noqa: N806
    heads, nodes, keys = weights_H_N_M.shape
    grouped = weights_H_N_M.reshape(key_1_G_M_D.shape[1], -1, keys)
    output = torch.bmm(grouped, value_1_G_M_D[0]).view(1, heads, nodes, -1)
    return output.transpose(1, 2).contiguous(), None


def _weights(
    query_H_N_D: Tensor,  # noqa: N803
    key_G_M_D: Tensor,  # noqa: N803
    mask: Tensor,
    sinks_H: Tensor | None,  # noqa: N803
) -> Tensor:
    """(H, N, M) share of each key, with an additive mask; without sinks they add up to 1."""
    heads, nodes, width = query_H_N_D.shape
    groups, keys = key_G_M_D.shape[:2]
    # Query heads of a group are stacked, so that keys need not be repeated.
    query = query_H_N_D.reshape(groups, heads // groups * nodes, width)
    scores = torch.bmm(query, key_G_M_D.transpose(1, 2)).view(heads, nodes, keys).add_(mask)
    if sinks_H is None:
        # Softmax accumulates in float32 internally; the scores are rounded already.
        return torch.softmax(scores, dim=-1)
    sinks = sinks_H.to(scores.dtype)[:, None, None].expand(-1, nodes, 1)
    return torch.softmax(torch.cat([scores, sinks], dim=-1), dim=-1)[..., :-1]
