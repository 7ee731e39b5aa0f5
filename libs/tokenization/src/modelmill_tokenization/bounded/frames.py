"""Messages between a service and its bounded processes: a JSON object and bytes, with lengths.

Nothing is unpickled on either side.
"""

import json
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HEAD = struct.Struct(">II")
IDS = "i"
"""Four bytes each, as the machine writes them: both sides are one machine."""


def frame(head: Mapping[str, Any], body: bytes = b"") -> bytes:
    """One message."""
    text = json.dumps(head, separators=(",", ":")).encode()
    return b"".join((HEAD.pack(len(text), len(body)), text, body))


def packed(lists: Sequence[Sequence[int]]) -> tuple[list[int], bytes]:
    """Lists of ids as their lengths and one run of bytes."""
    whole = array(IDS)
    for ids in lists:
        whole.extend(ids)
    return [len(ids) for ids in lists], whole.tobytes()


def unpacked(lengths: Sequence[int], body: bytes) -> Iterator[list[int]]:
    """The lists of ids."""
    whole = array(IDS)
    whole.frombytes(body)
    at = 0
    for length in lengths:
        yield whole[at : at + length].tolist()
        at += length
