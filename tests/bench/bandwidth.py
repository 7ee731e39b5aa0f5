"""What the memory can give: bytes a second read by all the threads that an engine has.

The best of so many sums over a buffer of fp32. torch's sum is vectorised and takes all cores.

Question: {"bytes", "tries"}. Answer: {"bytes_per_second"}.
"""

import time
from collections.abc import Mapping
from typing import Any

import torch

from tests.bench.worker import answer_all

FLOAT_BYTES = 4


class Memory:
    """Buffers by their size; the first question about one pays for its making."""

    def __init__(self) -> None:
        self._buffers: dict[int, torch.Tensor] = {}

    def read(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The rate of the quickest try."""
        size: int = asked["bytes"]
        if size not in self._buffers:
            self._buffers[size] = torch.ones(size // FLOAT_BYTES)
        buffer = self._buffers[size]
        return {"bytes_per_second": size / min(_seconds(buffer) for _ in range(asked["tries"]))}


def _seconds(buffer: torch.Tensor) -> float:
    began = time.perf_counter()
    buffer.sum()
    return time.perf_counter() - began


if __name__ == "__main__":
    answer_all(Memory().read)
