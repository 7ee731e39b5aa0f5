"""Features of the openvino runner; for the parent process, which must not import OpenVINO."""

from collections.abc import Mapping
from typing import Any

EXACT = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    "KV_CACHE_PRECISION": "f32",
}
"""Properties with which an answer does not depend on the batch; all are needed."""


def abilities_of(load: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `domain.generation.Abilities` for a load message."""
    return {
        "exact": load["device"] == "CPU" and EXACT.items() <= load["properties"].items(),
        "logprobs": 0,
        "grammar": True,
        "score": True,
        "embed": True,
    }
