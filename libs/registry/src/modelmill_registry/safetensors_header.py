"""The header of a safetensors file: whether it is one, whole, and what is in it."""

import json
import math
from typing import BinaryIO, TypeGuard

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""
_MAX_DIMENSIONS = 64
_LARGEST = 1 << 63
_ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
"""Types of whole bytes; the format also has some of half a byte and less, which are not counted."""


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
    if len(shape) > _MAX_DIMENSIONS:
        raise ValueError
    items, item_bytes = math.prod(shape), _ITEM_BYTES.get(tensor["dtype"])
    if (items == 0 and start != stop) or (item_bytes and items * item_bytes != stop - start):
        raise ValueError
    return start, stop


def _naturals(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < _LARGEST for value in values
    )
