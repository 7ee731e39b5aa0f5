"""Checks by names and shapes whether an adapter's tensors fit a base."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_TENSOR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight")
BEGINNING = "prompt_embeddings"
"""The only tensor of a soft-prompt adapter (prefix or prompt tuning)."""
_LAYER = re.compile(r"\.layers\.(\d+)\.")
MOST_PROBLEMS = 5
"""Maximum listed problems; a foreign adapter has one per tensor."""


def adapter_problems(
    shapes: Mapping[str, Sequence[int]], base_config: Mapping[str, Any]
) -> list[str]:
    """Reasons why the tensors do not fit the base; empty if none were found.

    Args:
        shapes: tensor shapes of `adapter_model.safetensors`.
        base_config: the base's config.json; missing values are not checked.
    """
    if BEGINNING in shapes:
        return _beginning_problems(shapes, base_config)
    pairs: dict[str, dict[str, Sequence[int]]] = {}
    problems = []
    for name, shape in shapes.items():
        named = _TENSOR.fullmatch(name)
        if named is None or len(shape) != 2:
            problems.append(f"{name!r} is no matrix of a low-rank adapter")
        else:
            pairs.setdefault(named["module"], {})[named["side"]] = shape
    if not shapes:
        problems.append("it has no tensors")
    widths = _widths(base_config)
    for module, sides in sorted(pairs.items()):
        problems += _pair_problems(module, sides, base_config, widths)
    if len(problems) > MOST_PROBLEMS:
        problems[MOST_PROBLEMS:] = [f"and {len(problems) - MOST_PROBLEMS} more"]
    return problems


def _beginning_problems(
    shapes: Mapping[str, Sequence[int]], config: Mapping[str, Any]
) -> list[str]:
    """Check a soft prompt: a row per virtual token, with an embedding or keys and values."""
    others = sorted(shapes.keys() - {BEGINNING})
    if others:
        return [f"{others[0]!r} does not go with {BEGINNING!r}"]
    shape = shapes[BEGINNING]
    if len(shape) != 2 or not shape[0]:
        return [f"{BEGINNING!r} is no matrix of virtual tokens"]
    try:
        allowed = {int(config["hidden_size"])}
        keys = _widths(config).get("k_proj")
        if keys:
            allowed.add(2 * int(config["num_hidden_layers"]) * keys[1])
    except (KeyError, TypeError, ValueError):
        return []
    if shape[1] not in allowed:
        widths = " or ".join(map(str, sorted(allowed)))
        return [f"{BEGINNING!r} has rows of {shape[1]} numbers, the base takes {widths}"]
    return []


def _pair_problems(
    module: str,
    sides: Mapping[str, Sequence[int]],
    config: Mapping[str, Any],
    widths: Mapping[str, tuple[int, int]],
) -> list[str]:
    if len(sides) != 2:
        return [f"{module!r} has one half of an adapter"]
    (rank, goes_in), (comes_out, rank_b) = sides["A"], sides["B"]
    if rank != rank_b or not rank:
        return [f"{module!r} has halves of ranks {rank} and {rank_b}"]
    layer, layers = _LAYER.search(module), config.get("num_hidden_layers")
    if layer and isinstance(layers, int) and int(layer[1]) >= layers:
        return [f"{module!r} is of layer {layer[1]}, the base has {layers}"]
    expected = widths.get(module.rpartition(".")[2])
    if expected and "experts" not in module and (goes_in, comes_out) != expected:
        return [
            f"{module!r} is {goes_in} to {comes_out}, the base has {expected[0]} to {expected[1]}"
        ]
    return []


def _widths(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Input and output sizes of projections; empty for latent attention."""
    try:
        hidden, between = int(config["hidden_size"]), int(config["intermediate_size"])
        heads = int(config["num_attention_heads"])
        width = int(config.get("head_dim") or hidden // heads)
        keys = int(config.get("num_key_value_heads") or heads)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return {}
    if config.get("kv_lora_rank"):
        return {}
    return {
        "q_proj": (hidden, heads * width),
        "k_proj": (hidden, keys * width),
        "v_proj": (hidden, keys * width),
        "o_proj": (heads * width, hidden),
        "gate_proj": (hidden, between),
        "up_proj": (hidden, between),
        "down_proj": (between, hidden),
    }
