"""What some architectures do beside layers: they scale logits, and look back only so far.

transformers does both in a model's own forward pass, of which a token tree uses the layers alone.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FULL, SLIDING = "full_attention", "sliding_attention"
"""Names of masks, as `layer_types` of a configuration has them."""


def scale_logits(logits: Tensor, config: Any) -> Tensor:
    """Logits as the model's head gives them: bounded (Gemma 2), multiplied (Cohere), divided
    (Granite), or as they are."""
    if (bound := getattr(config, "final_logit_softcapping", None)) is not None:
        logits = bound * torch.tanh(logits / bound)
    if (factor := getattr(config, "logit_scale", None)) is not None:
        logits = logits * factor
    if (divisor := getattr(config, "logits_scaling", None)) is not None:
        logits = logits / divisor
    return logits


def attention_masks(
    mask_N_M: Tensor,  # noqa: N803 - shape suffix
    positions_1_N: Tensor,  # noqa: N803
    config: Any,
) -> Tensor | Mapping[str, Tensor]:
    """The additive mask of each kind of layer, in 4 dimensions, as transformers takes them.

    Args:
        mask_N_M: Of a tree; keys before its own nodes (M > N) belong to a prefix.
        positions_1_N: Of the nodes, which count a prefix.
    """
    whole = mask_N_M[None, None]
    kinds = getattr(config, "layer_types", None) or ()
    window = getattr(config, "sliding_window", None)
    if window is None or (kinds and SLIDING not in kinds):
        return whole
    nodes, keys = mask_N_M.shape
    positions_N = positions_1_N[0]  # noqa: N806
    prefix = torch.arange(keys - nodes, device=positions_N.device)
    positions_M = torch.cat([prefix, positions_N])  # noqa: N806
    is_too_far = positions_N[:, None] - positions_M[None] >= window
    narrow = whole.masked_fill(is_too_far, float("-inf"))
    return {FULL: whole, SLIDING: narrow} if kinds else narrow
