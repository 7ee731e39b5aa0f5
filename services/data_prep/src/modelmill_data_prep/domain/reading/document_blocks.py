"""Blocks of a document: its passages as JSON, each with the place that it stands at."""

from collections.abc import Iterator
from pathlib import Path

from modelmill_documents.document_format import DocumentFormat
from modelmill_documents.errors import DocumentError
from modelmill_documents.parse_document import DocumentParser
from modelmill_documents.passages import passages_of

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.reading.faults import Fault, ReadLimits
from modelmill_data_prep.domain.reading.file_form import FileForm
from modelmill_data_prep.domain.reading.line_blocks import BlockMaker, RawRow
from modelmill_data_prep.domain.reading.table_rows import json_row

PASSAGE_COLUMNS = ("text", "file", "page", "section", "offset")
"""Columns of every document."""


def read_document_blocks(
    path: Path, document_format: DocumentFormat, limits: ReadLimits, form: FileForm, name: str
) -> Iterator[Block]:
    """Passages in order; a line is the number of the passage.

    A document that is refused is one unreadable row, whose rule names why: so it is counted and
    reported, and of many documents the others stay.
    """
    size = path.stat().st_size
    make = BlockMaker("passage", (), limits, FileForm(), lambda: size)
    try:
        with DocumentParser() as parser:
            blocks = parser.blocks(path, document_format)
    except DocumentError as error:
        fault = Fault(f"read.{error.reason.lower()}", error.message)
        yield from make.of_rows([(1, name.encode("utf-8", "replace"), fault.written)])
        return
    rows: list[RawRow] = []
    waiting = 0
    for number, passage in enumerate(passages_of(blocks, form.passage_size), start=1):
        values = (passage.text, name, passage.page, passage.section, passage.offset)
        columns = dict(zip(PASSAGE_COLUMNS, values, strict=True))
        rows.append(json_row(number, columns, limits.max_row_bytes))
        waiting += len(rows[-1][1])
        if len(rows) >= limits.block_rows or waiting >= limits.chunk_bytes:
            yield from make.of_rows(rows)
            rows, waiting = [], 0
    yield from make.of_rows(rows)
