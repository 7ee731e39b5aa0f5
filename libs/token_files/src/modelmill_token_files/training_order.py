"""The order in which the rows of train are trained on, as a dataset gives it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modelmill_token_files.layout import ORDER, ORDER_FILE, TokenFilesError

_NAME = b"modelmill.order"
_REPEATS = b"modelmill.repeats"

Int64s = np.ndarray[Any, np.dtype[np.int64]]


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
