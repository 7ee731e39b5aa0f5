"""What prefix and prompt tuning learned, as the keys and values before every text (torch)."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from modelmill_inference.domain.adapter_fit import BEGINNING

KINDS = ("PREFIX_TUNING", "PROMPT_TUNING")
"""Of PEFT's adapters."""
WEIGHTS_FILE = "adapter_model.safetensors"


@torch.inference_mode()
def read_beginning(module: Any, config: Any, folder: Path) -> Any:
    """A cache of the virtual tokens; texts go on behind it, as they did in training.

    Args:
        config: the adapter's, of one of `KINDS`.

    Raises:
        ValueError: it does not fit the module.
    """
    weight = load_file(folder / WEIGHTS_FILE)[BEGINNING].to(module.dtype)
    virtual = int(config.num_virtual_tokens)
    if getattr(config, "prefix_projection", False):
        raise ValueError("the adapter has prefix_projection, whose network is not in its file")
    if weight.shape[0] != virtual:
        raise ValueError(f"the adapter has {weight.shape[0]} virtual tokens, not {virtual}")
    cache = DynamicCache(config=module.config)
    if not all(type(layer) is DynamicLayer for layer in cache.layers):
        raise ValueError("a beginning needs layers that see all of a text")
    if config.peft_type == KINDS[1]:
        module.base_model(inputs_embeds=weight[None], past_key_values=cache, use_cache=True)
        return cache
    _fill(cache, weight, int(config.num_layers), int(config.num_attention_heads))
    return cache


def _fill(cache: Any, weight: Tensor, layers: int, heads: int) -> None:
    """Take a prefix apart as PEFT lays it out: token; layer, key or value; head; width."""
    both = weight.view(len(weight), 2 * layers, heads, -1).permute(1, 2, 0, 3).unsqueeze(1)
    for layer in range(layers):
        cache.update(both[2 * layer].contiguous(), both[2 * layer + 1].contiguous(), layer)
