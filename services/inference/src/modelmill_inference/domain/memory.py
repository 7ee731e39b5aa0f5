"""Memory of model versions: estimates before loading, and reservations of all versions.

An engine's memory has three parts. The process: interpreter, libraries and buffers, the same for
every model. The weights: bytes on disk times a factor (own layout, other number type). And memory
allocated by requests: the key-value cache, up to a setting or what the model can fill; some engines
also load weights again for the first score. The first two are measured once the engine is warm. The
third is reserved completely from the start: out of memory, an engine would lose all its requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VALUE_BYTES = 2
"""Size of a cached value in bf16; engines with an 8-bit cache use less."""
MIB = 2**20
GIB = 2**30
CACHE_ITEM_BYTES = 4
"""Largest size of a cached value in any engine, for an upper bound."""


def token_bytes(config: Mapping[str, Any]) -> int:
    """Key-value cache per token from config.json; 0 if unknown."""
    try:
        heads = config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads
        cached_heads = config.get("num_key_value_heads") or heads
        return int(2 * config["num_hidden_layers"] * cached_heads * width * VALUE_BYTES)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory use of an engine kind."""

    process_bytes: int
    """Process without a model."""
    weight_factor: float
    """Bytes in memory per byte of weights on disk."""
    later_factor: float = 0.0
    """Additional bytes per byte of weights, from the first score or embedding on."""
    drafts_apart: bool = False
    """Whether requests that draft have weights and cache of their own."""


ELSEWHERE = Footprint(0, 0.0)
"""For engines on a server that manages its own memory."""
FOOTPRINTS = {
    # Weights are mapped from the file, and copied in the processor's layout.
    # The first score compiles the build again in full precision.
    "openvino": Footprint(256 * MIB, 2.0, later_factor=2.0, drafts_apart=True),
    # Weights are read and packed for the processor's products.
    "onnx": Footprint(128 * MIB, 2.0),
    # torch alone has 230 MiB; bfloat16 weights are converted to float32.
    "transformers": Footprint(700 * MIB, 2.0),
    "vllm": Footprint(2 * GIB, 1.0),
    "triton": ELSEWHERE,
}
"""By engine name; measured values replace them after the first load."""
UNKNOWN = Footprint(GIB, 2.0)


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Estimated memory of a version."""

    identity: str
    """Equal for versions with the same files and engine."""
    resident_bytes: int
    """Process and weights."""
    later_bytes: int
    """Maximum allocated by requests."""

    @property
    def total_bytes(self) -> int:
        return self.resident_bytes + self.later_bytes


def estimate(
    identity: str, engine: str, weight_bytes: int, cache_bytes: int, *, drafts: bool = False
) -> MemoryNeed:
    """Estimate the memory of a version before its first load.

    Args:
        cache_bytes: maximum of its key-value cache.
        drafts: whether its requests draft by prompt lookup.
    """
    footprint = FOOTPRINTS.get(engine, UNKNOWN)
    if footprint is ELSEWHERE:
        return MemoryNeed(identity, 0, 0)
    copies = 2 if drafts and footprint.drafts_apart else 1
    weights = int(copies * weight_bytes * footprint.weight_factor)
    return MemoryNeed(
        identity,
        resident_bytes=footprint.process_bytes + weights,
        later_bytes=copies * cache_bytes + int(weight_bytes * footprint.later_factor),
    )


def cache_ceiling(
    setting_bytes: int, config: Mapping[str, Any], *, sequences: int, context_tokens: int
) -> int:
    """Maximum key-value cache: the setting, or what the model can fill if that is less.

    Args:
        config: the model's config.json; without a known shape the setting applies.
        sequences: maximum batch size.
    """
    widest = token_bytes(config) * CACHE_ITEM_BYTES // VALUE_BYTES
    fillable = widest * sequences * context_tokens
    return min(setting_bytes, fillable) if fillable > 0 else setting_bytes


class MemoryReservations:
    """Reserved and measured memory by version; plain numbers, no I/O."""

    def __init__(self) -> None:
        self._promised: dict[str, int] = {}
        self._taken: dict[str, int] = {}

    def reserve(self, version_id: str, total_bytes: int) -> None:
        """Reserve memory for a version, whether it is allocated already or not."""
        self._promised[version_id] = total_bytes

    def see(self, version_id: str, resident_bytes: int) -> None:
        """Record measured memory, which may exceed the reservation."""
        self._taken[version_id] = resident_bytes

    def remove(self, version_id: str) -> None:
        """Remove a version; unknown ids are ignored."""
        self._promised.pop(version_id, None)
        self._taken.pop(version_id, None)

    def held(self, version_id: str) -> int:
        """Memory that unloading it would free."""
        return max(self._promised.get(version_id, 0), self._taken.get(version_id, 0))

    def versions(self) -> list[str]:
        """Versions with a reservation."""
        return list(self._promised)

    def room(self, *, free_bytes: int, limit_bytes: int) -> int:
        """Memory that can still be reserved; negative if too much is reserved.

        Args:
            free_bytes: free memory of the machine now.
            limit_bytes: budget of all versions.
        """
        held = sum(map(self.held, self._promised))
        outstanding = held - sum(self._taken.get(name, 0) for name in self._promised)
        return min(limit_bytes - held, free_bytes - outstanding)
