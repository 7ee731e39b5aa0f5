"""Arrow schemas of rows between pipeline stages, and helpers for batches and flat list columns."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Item = TypeVar("Item")


def like_lists(lists: pa.ListArray, texts: Sequence[str | None]) -> pa.ListArray:
    """Rebuild a list array with the same lengths from flat texts; handles sliced arrays.


    Args:
        texts: One per item of `lists.flatten()`.
    """
    offsets = lists.offsets
    # A slice keeps offsets into the parent array.
    if len(offsets) and offsets[0].as_py():
        offsets = pa.compute.subtract(offsets, offsets[0])
    return pa.ListArray.from_arrays(offsets, pa.array(texts, pa.string()))


def lists_of(items: Sequence[Item], lists: pa.ListArray) -> list[list[Item]]:
    """Group flat items by the lengths of a list array.


    Args:
        items: One per item of `lists.flatten()`.
    """
    offsets = lists.offsets.to_pylist()
    first = offsets[0] if offsets else 0
    return [list(items[start - first : end - first]) for start, end in pairwise(offsets)]


def as_list(column: pa.Array) -> list[Any]:
    """As `to_pylist`, but several times faster for strings and all-null columns."""
    if column.null_count == len(column):
        return [None] * len(column)
    if column.type == pa.string():
        texts: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return texts
    return list(column.to_pylist())


SOURCE_ROWS = pa.schema(
    [
        # First line of the row, from 1; the row number for formats without lines.
        pa.field("line", pa.int64(), nullable=False),
        # Raw bytes; truncated if too long.
        pa.field("raw", pa.binary(), nullable=False),
        # Fault of an unreadable row, or null.
        pa.field("fault", pa.string()),
    ]
)
"""Raw rows before parsing."""

ROWS = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        # sha256 of the source row's bytes.
        pa.field("source", pa.binary(32), nullable=False),
        # Role per message: system, user, assistant or tool. A document is one assistant message.
        pa.field("roles", pa.list_(pa.string()), nullable=False),
        # Text per message.
        pa.field("contents", pa.list_(pa.string()), nullable=False),
        # Extras per message (tool_calls, tool_call_id, name), a JSON object or null.
        pa.field("extras", pa.list_(pa.string()), nullable=False),
        # Tool definitions in OpenAI's format, a JSON list or null.
        pa.field("tools", pa.string()),
        # Rejected answer of a preference pair, or null.
        pa.field("rejected", pa.string()),
        # Transforms that changed the row, in order, "<name>@<version>".
        pa.field("changes", pa.list_(pa.string()), nullable=False),
        # Augmentation method, "<name>@<version>"; null for an original row.
        pa.field("made_by", pa.string()),
        # Of a passage of a document: file, page, section and offset, a JSON object; else null.
        pa.field("document", pa.string()),
    ]
)
"""Rows as conversations, between mapping and writing."""

DROPPED = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        pa.field("source", pa.binary(32), nullable=False),
        # "dropped" (by a rule) or "quarantined" (invalid).
        pa.field("outcome", pa.string(), nullable=False),
        # Stage and rule, for example "filter.characters.min"; contains no values, as it is counted.
        pa.field("rule", pa.string(), nullable=False),
        # Human-readable detail.
        pa.field("detail", pa.string()),
        # Beginning of the row's text, for the report.
        pa.field("sample", pa.string(), nullable=False),
    ]
)
"""Removed rows."""

SAMPLE_CHARACTERS = 2_000


def texts_without_system(rows: pa.RecordBatch) -> list[str]:
    """Text of each row without system messages, which are often the same for all rows."""
    return as_list(text_array_without_system(rows))


def text_array_without_system(rows: pa.RecordBatch) -> pa.Array:
    """As `texts_without_system`, as an Arrow array."""
    contents = rows.column("contents")
    speaks = pc.not_equal(rows.column("roles").flatten(), "system")
    if speaks.false_count:
        said = np.concatenate(([0], np.cumsum(speaks.to_numpy(zero_copy_only=False))))
        offsets = contents.offsets.to_numpy()
        texts = contents.flatten().filter(speaks)
        contents = pa.ListArray.from_arrays(pa.array(said[offsets - offsets[0]], pa.int32()), texts)
    return pc.binary_join(contents, "\n")


def rows_with_equal_answers(rows: pa.RecordBatch) -> list[int]:
    """Indices of preference pairs whose chosen and rejected answers are equal."""
    rejected, contents = rows.column("rejected"), rows.column("contents")
    if rejected.null_count == rows.num_rows:
        return []
    ends = pc.subtract(contents.offsets[1:], contents.offsets[0])
    last = contents.flatten().take(pc.subtract(ends, 1))
    equal: list[int] = pc.indices_nonzero(pc.equal(rejected, last).fill_null(False)).to_pylist()
    return equal


def dropped_rows(
    rows: pa.RecordBatch,
    reasons: Sequence[str | None],
    *,
    details: Sequence[str | None] | None = None,
) -> pa.RecordBatch:
    """Rows with a reason, converted to `DROPPED`.

    Args:
        reasons: Stage and rule that drops each row; None for kept rows.
        details: Human-readable detail per row.
    """
    places = [place for place, reason in enumerate(reasons) if reason is not None]
    gone = rows.take(pa.array(places, pa.int64()))
    return pa.RecordBatch.from_arrays(
        [
            gone.column("line"),
            gone.column("source"),
            pa.array(["dropped"] * len(places), pa.string()),
            pa.array([reasons[place] for place in places], pa.string()),
            pa.array([details[place] if details else None for place in places], pa.string()),
            pa.array(
                [text[:SAMPLE_CHARACTERS] for text in texts_without_system(gone)], pa.string()
            ),
        ],
        schema=DROPPED,
    )


def one_batch(batches: Sequence[pa.RecordBatch], schema: pa.Schema = ROWS) -> pa.RecordBatch:
    """Concatenate batches; works without rows as well."""
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    found = table.to_batches()
    return found[0] if found else pa.RecordBatch.from_pylist([], schema=schema)


def kept_rows(rows: pa.RecordBatch, reasons: Iterable[str | None]) -> pa.RecordBatch:
    """Rows without a reason."""
    return rows.filter(pa.array([reason is None for reason in reasons], pa.bool_()))


def classification_answers(rows: pa.RecordBatch) -> list[str | None]:
    """Answer of each single-turn row of `ROWS`; None for other conversations."""
    roles, contents = rows.column("roles"), rows.column("contents")
    offsets = roles.offsets.to_numpy().astype(np.int64)
    offsets -= offsets[0]
    # The last message is the assistant's, so these counts imply one question before it.
    turns, asked, answered, set_up = (
        np.diff(offsets),
        *(_of_role(roles.flatten(), role, offsets) for role in ("user", "assistant", "system")),
    )
    single = (asked == 1) & (answered == 1) & (turns - set_up == 2)
    last = pa.array(np.where(single, offsets[1:] - 1, 0), pa.int64(), mask=~single)
    return as_list(contents.flatten().take(last))


def _of_role(roles: pa.Array, role: str, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of messages with a role, per row."""
    marks = pc.equal(roles, role).to_numpy(zero_copy_only=False)
    before = np.concatenate(([0], np.cumsum(marks)))
    return before[offsets[1:]] - before[offsets[:-1]]
