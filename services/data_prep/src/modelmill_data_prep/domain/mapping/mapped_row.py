"""Mapped rows, and their conversion to Arrow batches."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from modelmill_data_prep.domain.row_batch import DROPPED, ROWS
from modelmill_data_prep.domain.rows import RejectedRow


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
    lines: Sequence[int], sources: Sequence[bytes], rows: Sequence[MappedRow]
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
) -> pa.RecordBatch:
    """A batch of `ROWS` from flat messages.

    Args:
        lengths: Number of messages per row.
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
