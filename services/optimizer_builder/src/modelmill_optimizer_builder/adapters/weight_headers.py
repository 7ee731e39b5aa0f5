"""Numbers of weights of a model folder, from the headers of its safetensors files."""

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelmill_optimizer_builder.domain.bounds import WeightCounts

HEADER_BYTES = 100 * 1024 * 1024
"""Largest header that is read, as of the format."""
EMBEDDING = "embed_tokens.weight"
OUTPUT = "lm_head.weight"
SIZE_BYTES = 8


def count_weights(folder: Path) -> WeightCounts:
    """Counts of all safetensors files of a folder.

    Raises:
        ValueError: A header is not one.
    """
    shapes = dict(shape for path in folder.glob("*.safetensors") for shape in _shapes(path))
    total = sum(shapes.values())
    has_output = any(name.endswith(OUTPUT) for name in shapes)
    embedding = sum(size for name, size in shapes.items() if name.endswith(EMBEDDING))
    return WeightCounts(total, total - embedding if has_output else total)


def _shapes(path: Path) -> Iterator[tuple[str, int]]:
    for name, entry in _header(path).items():
        if name != "__metadata__":
            yield name, math.prod(entry["shape"])


def _header(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        start = file.read(SIZE_BYTES)
        size = struct.unpack("<Q", start)[0] if len(start) == SIZE_BYTES else 0
        if not 0 < size <= HEADER_BYTES:
            raise ValueError(f"{path.name} is no safetensors file. Import the model again")
        header: Mapping[str, Any] = json.loads(file.read(size))
    return header
