"""Splits a text stream into runs of lines, with bounded memory for long lines."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.reading.byte_streams import ContentStream
from modelmill_data_prep.domain.reading.limits import ReadLimits
from modelmill_data_prep.domain.rows import RAW_BYTES

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
