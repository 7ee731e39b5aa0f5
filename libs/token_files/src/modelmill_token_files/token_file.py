"""Readers of a split's token ids and of the training order, through memory maps.

Nothing is copied before it is asked for.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from modelmill_token_files.tokens_plan import (
    ORDER,
    ORDER_FILE,
    PACKS,
    PACKS_FILE,
    TOKEN_ROWS,
    TOKENS_FOLDER,
    TokenFilesError,
    token_file_name,
)

Int32s = np.ndarray[Any, np.dtype[np.int32]]
Int64s = np.ndarray[Any, np.dtype[np.int64]]


class TokenRow(NamedTuple):
    """One row, as views into the file."""

    ids: Int32s
    loss_from: Int32s
    loss_to: Int32s
    row: int
    """Its number in the source."""
    rejected_ids: Int32s | None
    """The worse answer of a preference pair."""


class TokenFile:
    """The rows of a split. A split without rows may have no file.

    Raises:
        TokenFilesError: the file is not one of token ids.
    """

    def __init__(self, dataset: Path, split: str) -> None:
        path = dataset / TOKENS_FOLDER / token_file_name(split)
        self._batches = _batches(path, TOKEN_ROWS) if path.is_file() else []
        counts = [batch.num_rows for batch in self._batches]
        self._ends: Int64s = np.cumsum(counts, dtype=np.int64)
        # Views of a batch are made when its first row is asked for.
        self._views: list[_Views | None] = [None] * len(counts)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, place: int) -> TokenRow:
        """The row at a place from 0."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        batch = int(np.searchsorted(self._ends, place, side="right"))
        views = self._views[batch]
        if views is None:
            views = self._views[batch] = _Views(self._batches[batch])
        return views.row(place - (int(self._ends[batch - 1]) if batch else 0))

    def lengths(self) -> Int32s:
        """Tokens of each row."""
        lengths = [np.diff(_offsets(batch.column("ids"))) for batch in self._batches]
        return np.concatenate(lengths) if lengths else np.zeros(0, np.int32)

    def rejected_lengths(self) -> Int32s:
        """Tokens that each row would have with its worse answer in place of the better one; 0 of a
        row that has none."""
        lengths = [_rejected_lengths(batch) for batch in self._batches]
        return np.concatenate(lengths) if lengths else np.zeros(0, np.int32)

    def row_numbers(self) -> Int64s:
        """The number in the source of each row."""
        numbers = [batch.column("row").to_numpy() for batch in self._batches]
        return np.concatenate(numbers) if numbers else np.zeros(0, np.int64)


def read_packs(dataset: Path) -> Iterator[Int64s]:
    """The packs of the train split, each as the places of its rows.

    Raises:
        TokenFilesError: the file is not one of packs.
    """
    for batch in _batches(dataset / TOKENS_FOLDER / PACKS_FILE, PACKS):
        rows = batch.column("rows")
        offsets, values = _offsets(rows), rows.values.to_numpy()
        for first, last in itertools.pairwise(offsets):
            yield values[first:last]


class _Views:
    """The columns of one batch as arrays."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        lists = [batch.column(name) for name in ("ids", "loss_from", "loss_to", "rejected_ids")]
        self._lists = [(_offsets(column), column.values.to_numpy()) for column in lists]
        self._rows = batch.column("row").to_numpy()
        rejected = lists[-1]
        self._has_rejected = rejected.is_valid().to_numpy(zero_copy_only=False)

    def row(self, place: int) -> TokenRow:
        ids, loss_from, loss_to, rejected = (
            values[offsets[place] : offsets[place + 1]] for offsets, values in self._lists
        )
        worse = rejected if self._has_rejected[place] else None
        return TokenRow(ids, loss_from, loss_to, int(self._rows[place]), worse)


def _rejected_lengths(batch: pa.RecordBatch) -> Int32s:
    rejected, starts = batch.column("rejected_ids"), batch.column("loss_from")
    last_starts = starts.values.to_numpy()[_offsets(starts)[1:] - 1]
    is_there = rejected.is_valid().to_numpy(zero_copy_only=False)
    return np.where(is_there, last_starts + np.diff(_offsets(rejected)), 0).astype(np.int32)


def _offsets(column: pa.ListArray) -> Int32s:
    offsets: Int32s = column.offsets.to_numpy()
    return offsets


def _batches(path: Path, schema: pa.Schema) -> list[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if reader.schema != schema:
            raise TokenFilesError(f"{path.name} has other columns: {reader.schema.names}")
        return [reader.get_batch(number) for number in range(reader.num_record_batches)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TokenFilesError(f"{path.name} cannot be read: {error}") from error


_NAME = b"modelmill.order"
_REPEATS = b"modelmill.repeats"


@dataclass(frozen=True, eq=False)
class TrainingOrder:
    """Every row of train once, in the order of the first epoch."""

    name: str
    """"staged" or "competence"."""
    repeats: bool
    """Whether later epochs go the same way; else they are shuffled, as without an order."""
    rows: Int64s
    """Places in the train split."""
    difficulties: np.ndarray[Any, np.dtype[np.float32]]
    """Of each of `rows`, from 0, the easiest, to 1."""
    tiers: np.ndarray[Any, np.dtype[np.int8]]
    """Of each of `rows`: 0 easy, 1 medium, 2 hard."""

    def write(self, dataset: Path) -> None:
        """Write it into a dataset's folder."""
        schema = ORDER.with_metadata(
            {_NAME: self.name.encode(), _REPEATS: b"1" if self.repeats else b"0"}
        )
        columns = [
            pa.array(self.rows, pa.int64()),
            pa.array(self.difficulties, pa.float32()),
            pa.array(self.tiers, pa.int8()),
        ]
        with (
            pa.OSFile(str(dataset / ORDER_FILE), "wb") as file,
            pa.ipc.new_file(file, schema) as writer,
        ):
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))

    @classmethod
    def read(cls, dataset: Path) -> "TrainingOrder | None":
        """That of a dataset's folder; None when it has none.

        Raises:
            TokenFilesError: it is not an order, or does not hold each row once.
        """
        path = dataset / ORDER_FILE
        if not path.is_file():
            return None
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all().combine_chunks()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise TokenFilesError(f"{path.name} cannot be read: {error}") from error
        said = table.schema.metadata or {}
        if table.schema.remove_metadata() != ORDER or _NAME not in said:
            raise TokenFilesError(f"{path.name} has other columns: {table.schema.names}")
        rows = table.column("row").to_numpy()
        if not np.array_equal(np.sort(rows), np.arange(len(rows))):
            raise TokenFilesError(f"{path.name} does not hold each row once")
        return cls(
            said[_NAME].decode(),
            said.get(_REPEATS) == b"1",
            rows,
            table.column("difficulty").to_numpy(),
            table.column("tier").to_numpy(),
        )
