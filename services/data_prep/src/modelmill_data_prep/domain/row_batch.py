"""What passes between the stages: Arrow batches of rows, of one schema from mapping to splits."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelmill_data_prep.domain.flat_lists import as_list

SOURCE_ROWS = pa.schema(
    [
        # Line of the file on which the row begins, from 1; without lines the row's number.
        pa.field("line", pa.int64(), nullable=False),
        # The row's own bytes; of a row that is too long its beginning.
        pa.field("raw", pa.binary(), nullable=False),
        # Why it cannot be read; null for a row that may be parsed.
        pa.field("fault", pa.string()),
    ]
)
"""Rows as read, before anything was parsed."""

ROWS = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        # sha256 of the source row's bytes.
        pa.field("source", pa.binary(32), nullable=False),
        # Of each turn: system, user, assistant or tool. A document is one turn of the assistant's.
        pa.field("roles", pa.list_(pa.string()), nullable=False),
        # Of each turn: its text.
        pa.field("contents", pa.list_(pa.string()), nullable=False),
        # Of each turn: what else it has (tool_calls, tool_call_id, name), a JSON object or null.
        pa.field("extras", pa.list_(pa.string()), nullable=False),
        # The tools that may be called, a JSON list as OpenAI writes it; null when none.
        pa.field("tools", pa.string()),
        # Of a preference pair: the worse answer; null otherwise.
        pa.field("rejected", pa.string()),
        # Transforms that changed the row, in order, "<name>@<version>".
        pa.field("changes", pa.list_(pa.string()), nullable=False),
        # What made the row from its source row, "<name>@<version>"; null for a row as given.
        pa.field("made_by", pa.string()),
    ]
)
"""Rows that will be trained or scored on, as far as the stages have come with them."""

DROPPED = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        pa.field("source", pa.binary(32), nullable=False),
        # "dropped" (a rule does not want it) or "quarantined" (it cannot be a row).
        pa.field("outcome", pa.string(), nullable=False),
        # Stage and rule, for example "filter.characters.min"; no values, to be counted.
        pa.field("rule", pa.string(), nullable=False),
        # More for people.
        pa.field("detail", pa.string()),
        # Beginning of the row, for the report.
        pa.field("sample", pa.string(), nullable=False),
    ]
)
"""Rows that go no further."""

SAMPLE_CHARACTERS = 2_000


def spoken_texts(rows: pa.RecordBatch) -> list[str]:
    """Of each row what is said in it, without the system turn, which is often the same for all."""
    return as_list(spoken(rows))


def spoken(rows: pa.RecordBatch) -> pa.Array:
    """The same as an array of strings."""
    contents = rows.column("contents")
    speaks = pc.not_equal(rows.column("roles").flatten(), "system")
    if speaks.false_count:
        said = np.concatenate(([0], np.cumsum(speaks.to_numpy(zero_copy_only=False))))
        offsets = contents.offsets.to_numpy()
        texts = contents.flatten().filter(speaks)
        contents = pa.ListArray.from_arrays(pa.array(said[offsets - offsets[0]], pa.int32()), texts)
    return pc.binary_join(contents, "\n")


def rows_with_equal_answers(rows: pa.RecordBatch) -> list[int]:
    """The numbers of the rows whose rejected answer says what their last turn says."""
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
    """The rows that have a reason, as dropped ones.

    Args:
        reasons: For each row the stage and rule that drops it, or None to leave it out.
        details: For each row more for people.
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
            pa.array([text[:SAMPLE_CHARACTERS] for text in spoken_texts(gone)], pa.string()),
        ],
        schema=DROPPED,
    )


def one_batch(batches: Sequence[pa.RecordBatch], schema: pa.Schema = ROWS) -> pa.RecordBatch:
    """The batches as one, also when they have no rows."""
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    found = table.to_batches()
    return found[0] if found else pa.RecordBatch.from_pylist([], schema=schema)


def kept_rows(rows: pa.RecordBatch, reasons: Iterable[str | None]) -> pa.RecordBatch:
    """The rows that have no reason to be dropped."""
    return rows.filter(pa.array([reason is None for reason in reasons], pa.bool_()))
