"""Blocks of lines: splits a text stream into runs of lines, and runs into blocks.

Long lines take bounded memory. In a JSONL file each non-blank line is a row.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelmill_data_prep.domain.blocks import RAW_BYTES, Block, RowForm
from modelmill_data_prep.domain.reading.byte_streams import ContentStream
from modelmill_data_prep.domain.reading.faults import ReadLimits, too_long
from modelmill_data_prep.domain.reading.file_form import FileForm
from modelmill_data_prep.domain.row_batch import SOURCE_ROWS

_LINE_FEED, _CARRIAGE_RETURN = b"\n\r"


@dataclass(frozen=True)
class LineRun:
    """Consecutive lines with line feeds; the last line of a file may lack one."""

    data: bytes

    ends: NDArray[np.int64]
    """End of each line in `data`."""

    first_line: int
    """Number of the first line, from 1."""

    too_long: NDArray[np.bool_] | None
    """Mask of lines above the row limit; None if there are none."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """Start of each line in `data`."""
        return np.concatenate((np.zeros(1, np.int64), self.ends[:-1]))


@dataclass(frozen=True, slots=True)
class Line:
    """A single line."""

    number: int
    content: bytes
    """Bytes with line end; truncated if too long."""

    too_long: bool


def lines_of(run: LineRun, kept_bytes: int) -> Iterator[Line]:
    """Iterate over the lines of a run; too long ones are cut to `kept_bytes`."""
    start = 0
    for place, end in enumerate(run.ends.tolist()):
        too_long = run.too_long is not None and bool(run.too_long[place])
        stop = min(end, start + kept_bytes) if too_long else end
        yield Line(run.first_line + place, run.data[start:stop], too_long)
        start = end


def kept_bytes_of(max_row_bytes: int) -> int:
    """Bytes that are kept of a too long row, independent of chunking."""
    return min(max_row_bytes, RAW_BYTES)


def read_line_runs(stream: ContentStream, limits: ReadLimits) -> Iterator[LineRun]:
    """All lines of a stream, in order.

    The limit `max_row_bytes` excludes the line end ("\\n" or "\\r\\n"). Of a longer line at most
    that much and a chunk are in memory.
    """
    number, rest, skipping = 1, b"", False
    while chunk := stream.read(limits.chunk_bytes):
        if skipping:
            found = chunk.find(b"\n")
            if found < 0:
                continue
            chunk, skipping = chunk[found + 1 :], False
        data = rest + chunk
        whole = data.rfind(b"\n") + 1
        rest = data[whole:]
        if whole:
            run = _run(data[:whole], number, limits.max_row_bytes)
            number += len(run.ends)
            yield run
        # Two more bytes, because the line end does not count.
        if len(rest) >= limits.max_row_bytes + 2:
            kept = rest[: kept_bytes_of(limits.max_row_bytes)]
            yield LineRun(kept, np.array([len(kept)]), number, np.ones(1, np.bool_))
            number, rest, skipping = number + 1, b"", True
    if rest:
        yield _run(rest, number, limits.max_row_bytes)


def _run(data: bytes, number: int, max_row_bytes: int) -> LineRun:
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == _LINE_FEED) + 1
    if not len(ends) or ends[-1] != len(data):
        ends = np.append(ends, len(data))
    lengths = np.diff(ends, prepend=0)
    if int(lengths.max()) <= max_row_bytes:
        return LineRun(data, ends, number, None)
    feed = characters[ends - 1] == _LINE_FEED
    before = characters[np.maximum(ends - 2, 0)]
    lengths = lengths - feed - (feed & (before == _CARRIAGE_RETURN) & (lengths > 1))
    too_long = lengths > max_row_bytes
    return LineRun(data, ends, number, too_long if too_long.any() else None)


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


WHITE_SPACE = b" \t\n\r\x0b\x0c"


def read_jsonl_blocks(stream: ContentStream, limits: ReadLimits, form: FileForm) -> Iterator[Block]:
    """All rows, unparsed and vectorised, at the speed of the disk."""
    yield from blocks_of_lines("json", stream, limits, form)


def blocks_of_lines(
    row_form: RowForm, stream: ContentStream, limits: ReadLimits, form: FileForm
) -> Iterator[Block]:
    """Blocks in which each non-blank line is a row."""
    make = BlockMaker(row_form, (), limits, form, lambda: stream.stored_bytes_read)
    fault = too_long(limits.max_row_bytes).written
    kept = kept_bytes_of(limits.max_row_bytes)
    for run in read_line_runs(stream, limits):
        if run.too_long is None:
            yield from make.of_run(run, blank_lines(run))
        else:
            yield from make.of_rows(
                [
                    (line.number, line.content, fault if line.too_long else None)
                    for line in lines_of(run, kept)
                    if line.too_long or line.content.strip()
                ]
            )


def blank_lines(run: LineRun, blanks: bytes = WHITE_SPACE) -> NDArray[np.bool_] | None:
    """Mask of blank lines; None if there are none."""
    is_blank = np.isin(np.arange(256), list(blanks))
    starts = run.starts
    characters = np.frombuffer(run.data, np.uint8)
    # Fast path: only lines that begin with a blank can be blank.
    if not is_blank[characters[starts]].any():
        return None
    blank = np.logical_and.reduceat(is_blank[characters], starts)
    return blank if blank.any() else None
