"""The header of a safetensors file: whether it is one, whole, and what is in it."""

import json
import math
from typing import BinaryIO, TypeGuard

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""


def safetensors_problem(content: BinaryIO) -> str | None:
    """Why this is not a whole safetensors file, or None when it is.

    Args:
        content: Seekable, at its start; only the header is read.
    """
    content.seek(0, 2)
    size = content.tell()
    content.seek(0)
    length = int.from_bytes(content.read(8), "little")
    if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
        return "is not a safetensors file"
    try:
        header = json.loads(content.read(length))
    except (ValueError, RecursionError):
        return "has a safetensors header that is not JSON"
    if not isinstance(header, dict):
        return "has a safetensors header that is not an object"
    header.pop("__metadata__", None)
    try:
        spans = sorted(_span(tensor) for tensor in header.values())
    except (KeyError, TypeError, ValueError):
        return "has a malformed tensor in its safetensors header"
    end = 0
    for start, stop in spans:
        if start != end or stop < start:
            return "has tensors that overlap or leave gaps"
        end = stop
    if end != size - 8 - length:
        return f"is cut short or padded: tensors of {end} bytes, {size - 8 - length} are there"
    return None


def _span(tensor: dict[str, object]) -> tuple[int, int]:
    """Where a tensor's bytes lie.

    Raises:
        KeyError, TypeError, ValueError: The entry is malformed.
    """
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    if not isinstance(tensor["dtype"], str) or not _naturals(shape) or not _naturals(offsets):
        raise ValueError
    start, stop = offsets
    if math.prod(shape) == 0 and start != stop:
        raise ValueError
    return start, stop


def _naturals(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
