"""What the openvino runner can do; plain, for those who start it and may not import OpenVINO."""

from collections.abc import Mapping
from typing import Any

EXACT = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    "KV_CACHE_PRECISION": "f32",
}
"""With these, and only with all of them, an answer does not depend on its neighbours."""


def abilities_of(load: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `domain.generation.Abilities`, for a pipeline that is loaded by this message."""
    return {
        "exact": load["device"] == "CPU" and EXACT.items() <= load["properties"].items(),
        "logprobs": 0,
        "grammar": True,
        "score": True,
        "embed": True,
    }
