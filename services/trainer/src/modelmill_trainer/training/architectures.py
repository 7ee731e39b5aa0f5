"""What a library lacks of an architecture that it says it knows."""

import torch


def mend(model: torch.nn.Module) -> None:
    """Make `model` run.

    DeepSeek V2 chooses experts by groups ("group_limited_greedy", the large models): transformers
    5.5.4 reads a number of experts there that it never sets, and raises AttributeError.
    """
    for module in model.modules():
        experts = getattr(getattr(module, "config", None), "n_routed_experts", None)
        if experts and hasattr(module, "topk_method") and not hasattr(module, "num_experts"):
            module.num_experts = experts
