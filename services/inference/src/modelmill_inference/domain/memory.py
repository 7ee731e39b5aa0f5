"""What versions take of the machine's memory: an estimate before one is loaded, and a book of all.

An engine holds three things. Its process: interpreter, libraries, buffers; the same for every
model. Its weights: the bytes on disk, times what the engine makes of them (a copy in its own
layout, another number type). And what it takes as requests come: its key-value cache, up to a
setting or to what the model can fill, whichever is less, and with some engines weights once more
for the first score. The first two are seen once the engine is warm, and what was seen replaces the
estimate. The third is a promise: counted whole from the start, because an engine that runs out of
memory takes its requests with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VALUE_BYTES = 2
"""Of a key's or value's number, as bf16. Engines that keep them in 8 bits have room to spare."""
MIB = 2**20
GIB = 2**30
CACHE_ITEM_BYTES = 4
"""Of a key or value; the widest that engines keep, so that a setting cannot make it too little."""


def token_bytes(config: Mapping[str, Any]) -> int:
    """Keys and values of one token, by the model's config.json; 0 when that does not tell."""
    try:
        heads = config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads
        cached_heads = config.get("num_key_value_heads") or heads
        return int(2 * config["num_hidden_layers"] * cached_heads * width * VALUE_BYTES)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0


@dataclass(frozen=True, slots=True)
class Footprint:
    """How an engine uses memory."""

    process_bytes: int
    """Without a model."""
    weight_factor: float
    """Bytes in memory for each byte of weights on disk."""
    later_factor: float = 0.0
    """Of them, bytes that the first score or embedding takes beside."""


ELSEWHERE = Footprint(0, 0.0)
"""Of engines whose server has memory of its own and plans it itself."""
FOOTPRINTS = {
    # Weights are mapped from the file and, laid out anew for the processor, held once more.
    # The first score compiles the build a second time, in full precision.
    "openvino": Footprint(256 * MIB, 2.0, later_factor=2.0),
    # torch alone is 230 MiB; bfloat16 on disk is computed with in float32.
    "transformers": Footprint(700 * MIB, 2.0),
    "vllm": Footprint(2 * GIB, 1.0),
    "triton": ELSEWHERE,
}
"""By the engine's name; corrected by what is seen, so that only the first load relies on them."""
UNKNOWN = Footprint(GIB, 2.0)


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a version will take."""

    identity: str
    """Same for versions of the same files in the same engine."""
    resident_bytes: int
    """Process and weights."""
    later_bytes: int
    """Taken as requests come, at most."""

    @property
    def total_bytes(self) -> int:
        return self.resident_bytes + self.later_bytes


def estimate(identity: str, engine: str, weight_bytes: int, cache_bytes: int) -> MemoryNeed:
    """What a version will take that was not seen yet.

    Args:
        cache_bytes: its key-value cache at most.
    """
    footprint = FOOTPRINTS.get(engine, UNKNOWN)
    if footprint is ELSEWHERE:
        return MemoryNeed(identity, 0, 0)
    return MemoryNeed(
        identity,
        resident_bytes=footprint.process_bytes + int(weight_bytes * footprint.weight_factor),
        later_bytes=cache_bytes + int(weight_bytes * footprint.later_factor),
    )


def cache_ceiling(
    setting_bytes: int, config: Mapping[str, Any], *, sequences: int, context_tokens: int
) -> int:
    """What the key-value cache can come to: the setting, or less if the model cannot fill it.

    Args:
        config: the model's config.json; the setting counts when it does not tell the shape.
        sequences: generated together at most.
    """
    widest = token_bytes(config) * CACHE_ITEM_BYTES // VALUE_BYTES
    fillable = widest * sequences * context_tokens
    return min(setting_bytes, fillable) if fillable > 0 else setting_bytes


class MemoryReservations:
    """What each version was promised and what it has taken of it; numbers only, nobody is asked."""

    def __init__(self) -> None:
        self._promised: dict[str, int] = {}
        self._taken: dict[str, int] = {}

    def reserve(self, version_id: str, total_bytes: int) -> None:
        """From now on so much is its own, whether it has taken it or not."""
        self._promised[version_id] = total_bytes

    def see(self, version_id: str, resident_bytes: int) -> None:
        """It has so much now; may be more than it was promised."""
        self._taken[version_id] = resident_bytes

    def remove(self, version_id: str) -> None:
        """It is gone, or never came; an unknown one is none."""
        self._promised.pop(version_id, None)
        self._taken.pop(version_id, None)

    def held(self, version_id: str) -> int:
        """What comes back when it leaves."""
        return max(self._promised.get(version_id, 0), self._taken.get(version_id, 0))

    def versions(self) -> list[str]:
        """Those that hold something."""
        return list(self._promised)

    def room(self, *, free_bytes: int, limit_bytes: int) -> int:
        """What can still be promised; negative when too much was.

        Args:
            free_bytes: what the machine has free now, beside what versions have taken.
            limit_bytes: what all versions may hold together.
        """
        held = sum(map(self.held, self._promised))
        outstanding = held - sum(self._taken.get(name, 0) for name in self._promised)
        return min(limit_bytes - held, free_bytes - outstanding)
