"""How much of an engine's cache a token takes."""

from collections.abc import Mapping
from typing import Any

VALUE_BYTES = 2
"""Of a key's or value's number, as bf16. Engines that keep them in 8 bits have room to spare."""


def token_bytes(config: Mapping[str, Any]) -> int:
    """Keys and values of one token, by the model's config.json; 0 when that does not tell."""
    try:
        heads = config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads
        cached_heads = config.get("num_key_value_heads") or heads
        return int(2 * config["num_hidden_layers"] * cached_heads * width * VALUE_BYTES)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0
