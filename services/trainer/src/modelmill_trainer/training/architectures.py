"""Workarounds for architectures that transformers implements incompletely."""

import torch


def fix_deepseek_v2(model: torch.nn.Module) -> None:
    """Set the attribute `num_experts` that large DeepSeek V2 models need.

    With "group_limited_greedy" routing, transformers 5.5.4 reads it without ever setting it.
    """
    for module in model.modules():
        experts = getattr(getattr(module, "config", None), "n_routed_experts", None)
        if experts and hasattr(module, "topk_method") and not hasattr(module, "num_experts"):
            module.num_experts = experts
