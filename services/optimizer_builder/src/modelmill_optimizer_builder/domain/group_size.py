"""Groups of int4 weights: how many neighbours share a scale, and which models cannot have them."""

from collections.abc import Mapping
from typing import Any

GROUP_SIZES = (32, 16)
"""Best first. Larger groups lose more; smaller ones need more bytes than they save in loss."""
EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts")
"""Keys by which configurations name the number of their experts."""


def group_size_of(config: Mapping[str, Any]) -> int | None:
    """The first group size that divides the hidden size of a model's config.json; None if none."""
    hidden = _hidden_size(config)
    return next((size for size in GROUP_SIZES if hidden and hidden % size == 0), None)


def is_mixture_of_experts(config: Mapping[str, Any]) -> bool:
    """Whether a model of that config.json has experts."""
    return any(text_config(config).get(key) for key in EXPERTS)


def calibrated_groups_refusal(config: Mapping[str, Any]) -> str:
    """Why a model cannot have calibrated int4 weights in groups; empty if it can."""
    if is_mixture_of_experts(config):
        return "it is a mixture of experts, whose layers calibration by NNCF destroys"
    return group_size_refusal(config)


def group_size_refusal(config: Mapping[str, Any]) -> str:
    """Why a model cannot have weights in groups; empty if it can."""
    if group_size_of(config) is not None:
        return ""
    sizes = " and ".join(map(str, GROUP_SIZES))
    return f"its hidden size {_hidden_size(config)} is no multiple of a group size ({sizes})"


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The text model, which in models of several kinds of input has a part of its own."""
    text = config.get("text_config")
    return text if isinstance(text, Mapping) else config


def _hidden_size(config: Mapping[str, Any]) -> int:
    size = text_config(config).get("hidden_size")
    return size if isinstance(size, int) else 0
