"""The story of every row of a source file: what became of it, by which rules, and where it is.

A dataset has one file of stories, in the order of the source lines; the batches that it consists of
are found by their first line, so that one story costs one batch.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

STORIES = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        # sha256 of the source row's bytes.
        pa.field("source", pa.binary(32), nullable=False),
        # "kept", "dropped" or "quarantined".
        pa.field("outcome", pa.string(), nullable=False),
        # Stage and rule that took it out; null when kept.
        pa.field("rule", pa.string()),
        # More for people, such as the line of the row that says the same.
        pa.field("detail", pa.string()),
        # Transforms that changed it, in order, "<name>@<version>".
        pa.field("changes", pa.list_(pa.string()), nullable=False),
        # What made it from its source row; null for a row as given.
        pa.field("made_by", pa.string()),
        # Of a kept row: its split, its place in the split's file from 0, where its bytes begin.
        pa.field("split", pa.string()),
        pa.field("position", pa.int64()),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        # Of a kept row: sha256 of what it says, which does not change with its line.
        pa.field("content", pa.binary(32)),
    ]
)


@dataclass(frozen=True)
class Bases:
    """How far the file of a split was written before a batch."""

    rows: int
    size_bytes: int


class StoryWriter:
    """Writes the stories of a dataset, batch after batch in the order of the source."""

    def __init__(self, path: Path) -> None:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, STORIES, options=options)

    def write(self, stories: pa.RecordBatch, bases: dict[str, Bases]) -> None:
        """Append a batch whose positions and offsets count from `bases`."""
        if stories.num_rows:
            self._writer.write_batch(_based(stories, bases))

    def __enter__(self) -> "StoryWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        self._file.close()


def _based(stories: pa.RecordBatch, bases: dict[str, Bases]) -> pa.RecordBatch:
    columns = {name: stories.column(name) for name in STORIES.names}
    splits = columns["split"]
    for name, base in bases.items():
        in_split = pa.compute.fill_null(pa.compute.equal(splits, name), False)
        for column, start in (("position", base.rows), ("offset", base.size_bytes)):
            moved = pa.compute.add(columns[column], pa.scalar(start, pa.int64()))
            columns[column] = pa.compute.if_else(in_split, moved, columns[column])
    return pa.RecordBatch.from_arrays([columns[name] for name in STORIES.names], schema=STORIES)


class Stories:
    """Reads the stories of a dataset; holds one batch at a time."""

    def __init__(self, path: Path) -> None:
        self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self._first_lines: list[int] | None = None

    def of_line(self, line: int) -> list[dict[str, Any]]:
        """The row of that source line and every row made from it; none if no row begins there."""
        batch = bisect_right(self._index(), line) - 1
        if batch < 0:
            return []
        stories = self._reader.get_batch(batch)
        found = stories.filter(pa.compute.equal(stories.column("line"), line))
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All of them, in order."""
        for index in range(self._reader.num_record_batches):
            yield self._reader.get_batch(index)

    def _index(self) -> list[int]:
        if self._first_lines is None:
            self._first_lines = [batch.column("line")[0].as_py() for batch in self.batches()]
        return self._first_lines
