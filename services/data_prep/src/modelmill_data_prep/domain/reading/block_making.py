"""Builds blocks from lines, vectorised where lines are rows."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelmill_data_prep.domain.blocks import Block, RowForm
from modelmill_data_prep.domain.reading.file_form import FileForm
from modelmill_data_prep.domain.reading.limits import ReadLimits
from modelmill_data_prep.domain.reading.line_runs import LineRun
from modelmill_data_prep.domain.row_batch import SOURCE_ROWS

RawRow = tuple[int, bytes, str | None]
"""(Line number, bytes, fault) of a row."""


class BlockMaker:
    """Builds consecutively numbered blocks of one file.

    Args:
        bytes_read: Returns the read position in the stored file.
    """

    def __init__(
        self,
        form: RowForm,
        columns: tuple[str, ...],
        limits: ReadLimits,
        file_form: FileForm,
        bytes_read: Callable[[], int],
    ) -> None:
        self._form = form
        self._columns = columns
        self._limits = limits
        self._file_form = file_form
        self._bytes_read = bytes_read
        self._index = 0

    def of_run(self, run: LineRun, blank: NDArray[np.bool_] | None) -> Iterator[Block]:
        """Blocks of a line run, where each non-blank line is a row; no line may be too long."""
        starts = run.starts
        for first in range(0, len(run.ends), self._limits.block_rows):
            ends = run.ends[first : first + self._limits.block_rows]
            rows = _binary(run.data, int(starts[first]), ends)
            lines = np.arange(len(ends), dtype=np.int64) + run.first_line + first
            batch = pa.RecordBatch.from_arrays(
                [pa.array(lines), rows, pa.nulls(len(ends), pa.string())], schema=SOURCE_ROWS
            )
            if blank is not None:
                batch = batch.filter(pa.array(~blank[first : first + self._limits.block_rows]))
            if batch.num_rows:
                yield self._block(batch)

    def of_rows(self, rows: Sequence[RawRow]) -> Iterator[Block]:
        """Blocks from single rows, bounded by number and bytes."""
        first, size = 0, 0
        for place, (_, raw, _) in enumerate(rows):
            size += len(raw)
            full = size >= self._limits.chunk_bytes
            if full or place + 1 - first >= self._limits.block_rows or place + 1 == len(rows):
                part = rows[first : place + 1]
                yield self._block(
                    pa.RecordBatch.from_arrays(
                        [
                            pa.array([line for line, _, _ in part], pa.int64()),
                            pa.array([raw for _, raw, _ in part], pa.binary()),
                            pa.array([fault for _, _, fault in part], pa.string()),
                        ],
                        schema=SOURCE_ROWS,
                    )
                )
                first, size = place + 1, 0

    def _block(self, batch: pa.RecordBatch) -> Block:
        encoding, delimiter = self._file_form.encoding, self._file_form.delimiter
        block = Block(
            self._index, self._form, self._columns, batch, self._bytes_read(), encoding, delimiter
        )
        self._index += 1
        return block


def _binary(data: bytes, start: int, ends: NDArray[np.int64]) -> pa.Array:
    """Zero-copy binary array of the pieces of `data`.

    It references only its own slice, so that pickling a block does not include its neighbours.
    """
    offsets = np.empty(len(ends) + 1, np.int32)
    offsets[0] = 0
    offsets[1:] = ends - start
    part = pa.py_buffer(data).slice(start, int(ends[-1]) - start)
    return pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), part])
