"""The rows of a block as pieces of the splits' files, and their stories."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelmill_data_prep.domain.lineage.merkle import leaf_hash
from modelmill_data_prep.domain.lineage.row_provenance import STORIES
from modelmill_data_prep.domain.verdicts import SPLITS
from modelmill_data_prep.domain.written_rows import WrittenRows


@dataclass(frozen=True)
class SplitPiece:
    """What a block adds to the file of a split."""

    lines: bytes
    rows: int
    leaves: bytes
    """Of each row its leaf in the Merkle tree, one after the other."""

    @classmethod
    def of(cls, written: WrittenRows, places: npt.NDArray[np.intp]) -> "SplitPiece":
        """The rows at `places`, in that order."""
        lines = [written.lines[place] for place in places.tolist()]
        return cls(
            b"".join(line + b"\n" for line in lines), len(lines), b"".join(map(leaf_hash, lines))
        )


def stories_of(
    rows: pa.RecordBatch,
    written: WrittenRows,
    splits: npt.NDArray[np.int8],
    dropped: Sequence[pa.RecordBatch],
) -> pa.RecordBatch:
    """The stories of a block's rows, in the order of their lines.

    Args:
        rows: Those that stay.
        written: The same, as written.
        splits: Of each of them its place in `SPLITS`.
        dropped: Those that do not, by stage.
    """
    kept = _kept_stories(rows, written, splits)
    gone = [_dropped_stories(batch) for batch in dropped]
    table = pa.Table.from_batches([kept, *gone], STORIES)
    ordered = table.take(pa.compute.sort_indices(table.column("line"))).combine_chunks()
    batches = ordered.to_batches()
    return batches[0] if batches else kept


def _kept_stories(
    rows: pa.RecordBatch, written: WrittenRows, splits: npt.NDArray[np.int8]
) -> pa.RecordBatch:
    lengths = np.array([len(line) + 1 for line in written.lines], np.int64)
    positions = np.zeros(len(lengths), np.int64)
    offsets = np.zeros(len(lengths), np.int64)
    for number in range(len(SPLITS)):
        places = np.flatnonzero(splits == number)
        positions[places] = np.arange(len(places))
        offsets[places] = np.cumsum(lengths[places]) - lengths[places]
    count = rows.num_rows
    columns: dict[str, Any] = {
        "line": rows.column("line"),
        "source": rows.column("source"),
        "outcome": pa.array(["kept"] * count, pa.string()),
        "rule": pa.nulls(count, pa.string()),
        "detail": pa.nulls(count, pa.string()),
        "changes": rows.column("changes"),
        "made_by": rows.column("made_by"),
        "split": pa.array([SPLITS[number] for number in splits.tolist()], pa.string()),
        "position": pa.array(positions),
        "offset": pa.array(offsets),
        "length": pa.array(lengths),
        "content": pa.array(written.contents, pa.binary(32)),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in STORIES.names], schema=STORIES)


def _dropped_stories(dropped: pa.RecordBatch) -> pa.RecordBatch:
    count = dropped.num_rows
    columns = {field.name: pa.nulls(count, field.type) for field in STORIES}
    for name in ("line", "source", "outcome", "rule", "detail"):
        columns[name] = dropped.column(name)
    columns["changes"] = pa.array([[]] * count, pa.list_(pa.string()))
    return pa.RecordBatch.from_arrays([columns[name] for name in STORIES.names], schema=STORIES)
