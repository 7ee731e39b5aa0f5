"""Blocks of a JSONL file: each non-blank line is a row."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.blocks import Block, RowForm
from modelmill_data_prep.domain.reading.block_making import BlockMaker
from modelmill_data_prep.domain.reading.byte_streams import ContentStream
from modelmill_data_prep.domain.reading.faults import too_long
from modelmill_data_prep.domain.reading.file_form import FileForm
from modelmill_data_prep.domain.reading.limits import ReadLimits
from modelmill_data_prep.domain.reading.line_runs import (
    LineRun,
    kept_bytes_of,
    lines_of,
    read_line_runs,
)

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
