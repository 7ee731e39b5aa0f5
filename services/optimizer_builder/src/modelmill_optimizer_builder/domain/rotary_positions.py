"""Rotary positions of a model, as its config.json says them."""

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]
ROPE_DEFAULT, ROPE_LONG = "default", "longrope"
OLD_NAMES = ("su", "yarn")
"""Under which the first Phi 3 have long rotary positions."""


def rope_of(config: Config) -> Config:
    """Parameters of rotary positions, as transformers 5 or an earlier one names them."""
    found = config.get("rope_parameters")
    if isinstance(found, Mapping):
        return found
    scaling = config.get("rope_scaling")
    return dict(scaling if isinstance(scaling, Mapping) else {}) | {
        "rope_theta": config.get("rope_theta", 10_000.0)
    }


def rope_type_of(config: Config) -> str:
    """Type of rotary positions."""
    rope = rope_of(config)
    found = str(rope.get("rope_type", rope.get("type", ROPE_DEFAULT)))
    return ROPE_LONG if config.get("model_type") == "phi3" and found in OLD_NAMES else found
