"""Which models packed integer weights are written of, for runtimes of others."""

from collections.abc import Mapping
from typing import Any

from modelmill_optimizer_builder.domain.group_size import EXPERTS

PACKED_GROUP = 32
"""The smallest group that vLLM's fast kernels know, and the one that loses least."""
WIDTHS = ("hidden_size", "intermediate_size")


def packed_weights_refusal(config: Mapping[str, Any]) -> str:
    """Why the layers of a model cannot be packed; empty if they can."""
    if isinstance(config.get("text_config"), Mapping):
        return "it reads more than text, and layers of its other parts would be packed, too"
    if any(config.get(key) for key in EXPERTS):
        return "it is a mixture of experts, whose layers are no linear layers that could be packed"
    return ""


def packed_groups_refusal(config: Mapping[str, Any]) -> str:
    """Why they cannot be packed in groups; empty if they can."""
    if reason := packed_weights_refusal(config):
        return reason
    widths = {name: config.get(name, 0) for name in WIDTHS}
    if heads := config.get("num_attention_heads"):
        head = config.get("head_dim") or widths["hidden_size"] // heads
        widths["width of all heads"] = head * heads
    for name, width in widths.items():
        if width % PACKED_GROUP:
            words = name.replace("_", " ")
            return f"its {words} {width} is no multiple of the group size ({PACKED_GROUP})"
    return ""
