"""Mapped rows, their conversion to Arrow batches, and checks of values in source rows."""

import re
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from modelmill_data_prep.domain.blocks import RejectedRow
from modelmill_data_prep.domain.reading.faults import Fault
from modelmill_data_prep.domain.row_batch import DROPPED, ROWS

_SEEN = re.compile(
    "[^\\s\\x00-\\x1f\\x7f-\\x9f\u00ad\u034f\u115f\u1160\u200b-\u200f\u2028-\u202f\u2060-\u206f"
    "\u3164\ufeff\uffa0]"
)
"""A visible character."""

_JSON = msgspec.json.Encoder()


class RowRefusedError(Exception):
    """The row cannot become a conversation."""

    def __init__(self, rule: str, reason: str) -> None:
        """`rule` becomes "map.<rule>"; neither it nor `reason` may contain values of the row."""
        super().__init__(reason)
        self.fault = Fault(f"map.{rule}", reason)


def all_seen(texts: Sequence[str]) -> bool:
    """Whether each text has a visible character."""
    if not all(texts):
        return False
    # Fast path: few distinct first characters, and most of them are visible.
    if all(map(_SEEN.match, set(map(itemgetter(0), texts)))):
        return True
    return all(map(_SEEN.search, texts))


def all_encodable(texts: Sequence[str]) -> bool:
    """Whether no text has an unpaired surrogate, which UTF-8 cannot encode."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(text: Any, place: str) -> str:
    """Return `text` if it is valid text.

    Raises:
        RowRefusedError: It is not a string, has no visible character, or an unpaired surrogate.
    """
    if not isinstance(text, str):
        raise RowRefusedError("not_text", f"{place} is not text")
    if not text.isascii() and not all_encodable([text]):
        raise RowRefusedError("half_surrogate", f"{place} has half a surrogate pair")
    if not _SEEN.search(text):
        raise RowRefusedError("empty", f"{place} is empty")
    return text


def column_of(columns: Any, name: str) -> Any:
    """The value of a column.

    Raises:
        RowRefusedError: The column is missing.
    """
    if name not in columns:
        raise RowRefusedError("missing_column", f"missing column {name!r}")
    return columns[name]


def encode_json(value: Any, place: str) -> str:
    """Encode a value as JSON.

    Raises:
        RowRefusedError: It has an unpaired surrogate or a number that JSON cannot represent.
    """
    try:
        return _JSON.encode(value).decode()
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        raise RowRefusedError("no_json_value", f"{place} cannot be written as JSON") from None


class MappedRow(NamedTuple):
    """A conversation that ends with an assistant message."""

    roles: Sequence[str]
    contents: Sequence[str]

    extras: Sequence[str | None]
    """Extras of each message, as JSON objects."""

    tools: str | None = None
    """Tool definitions, as a JSON list."""

    rejected: str | None = None
    """Rejected answer of a preference pair."""


def mapped_batch(
    lines: Sequence[int],
    sources: Sequence[bytes],
    rows: Sequence[MappedRow],
    documents: Sequence[str | None],
) -> pa.RecordBatch:
    """Conversations as a batch of `ROWS`."""
    lengths = [len(row.roles) for row in rows]
    return batch_of_turns(
        lines,
        sources,
        lengths=lengths,
        roles=pa.array(list(chain.from_iterable(row.roles for row in rows)), pa.string()),
        contents=list(chain.from_iterable(row.contents for row in rows)),
        extras=pa.array(list(chain.from_iterable(row.extras for row in rows)), pa.string()),
        tools=[row.tools for row in rows],
        rejected=[row.rejected for row in rows],
        documents=documents,
    )


def batch_of_turns(
    lines: Sequence[int],
    sources: Sequence[bytes],
    *,
    lengths: Sequence[int],
    roles: pa.Array,
    contents: Sequence[str],
    extras: pa.Array,
    tools: Sequence[str | None],
    rejected: Sequence[str | None],
    documents: Sequence[str | None],
) -> pa.RecordBatch:
    """A batch of `ROWS` from flat messages.

    Args:
        lengths: Number of messages per row.
        documents: Place of each passage of a document, as JSON; None for other rows.
    """
    count = len(lines)
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))), pa.int32())
    none = pa.array(np.zeros(count + 1, np.int32))
    return pa.RecordBatch.from_arrays(
        [
            pa.array(lines, pa.int64()),
            digest_array(sources),
            pa.ListArray.from_arrays(offsets, roles),
            pa.ListArray.from_arrays(offsets, pa.array(contents, pa.string())),
            pa.ListArray.from_arrays(offsets, extras),
            pa.array(tools, pa.string()),
            pa.array(rejected, pa.string()),
            pa.ListArray.from_arrays(none, pa.array([], pa.string())),
            pa.nulls(count, pa.string()),
            pa.array(documents, pa.string()),
        ],
        schema=ROWS,
    )


def quarantined_batch(rows: Sequence[RejectedRow]) -> pa.RecordBatch:
    """Rejected rows as a batch of `DROPPED`."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array([row.line for row in rows], pa.int64()),
            digest_array([row.source for row in rows]),
            pa.array(["quarantined"] * len(rows), pa.string()),
            pa.array([row.rule for row in rows], pa.string()),
            pa.array([row.reason for row in rows], pa.string()),
            pa.array([row.raw for row in rows], pa.string()),
        ],
        schema=DROPPED,
    )


def digest_array(digests: Sequence[bytes]) -> pa.Array:
    """sha256 digests as an array."""
    data = pa.py_buffer(b"".join(digests))
    return pa.Array.from_buffers(pa.binary(32), len(digests), [None, data])
