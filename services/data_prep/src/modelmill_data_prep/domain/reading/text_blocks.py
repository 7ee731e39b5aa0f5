"""Blocks of a plain text: a document for each paragraph, or for each line."""

from collections.abc import Iterator

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.reading.block_making import BlockMaker, RawRow
from modelmill_data_prep.domain.reading.byte_streams import ContentStream
from modelmill_data_prep.domain.reading.faults import too_long
from modelmill_data_prep.domain.reading.file_form import FileForm
from modelmill_data_prep.domain.reading.jsonl_blocks import blocks_of_lines
from modelmill_data_prep.domain.reading.limits import ReadLimits
from modelmill_data_prep.domain.reading.line_runs import kept_bytes_of, lines_of, read_line_runs


def read_text_blocks(stream: ContentStream, limits: ReadLimits, form: FileForm) -> Iterator[Block]:
    """All documents: lines up to the next blank one, or up to `max_document_bytes` of them.

    Or single lines, where the form says so.

    A line that is longer than a document may be is a document, and longer than a row, a fault. No
    document is longer than a row.
    """
    if form.text_unit == "line":
        yield from blocks_of_lines("text", stream, limits, form)
        return
    make = BlockMaker("text", (), limits, form, lambda: stream.stored_bytes_read)
    documents: list[RawRow] = []
    size = 0
    for document in _documents(stream, limits):
        documents.append(document)
        size += len(document[1])
        if len(documents) >= limits.block_rows or size >= limits.chunk_bytes:
            yield from make.of_rows(documents)
            documents, size = [], 0
    yield from make.of_rows(documents)


def _documents(stream: ContentStream, limits: ReadLimits) -> Iterator[RawRow]:
    fault = too_long(limits.max_row_bytes).written
    kept = kept_bytes_of(limits.max_row_bytes)
    most = min(limits.max_document_bytes, limits.max_row_bytes)
    lines: list[bytes] = []
    first, size = 0, 0
    for run in read_line_runs(stream, limits):
        for line in lines_of(run, kept):
            blank = not line.content.strip()
            full = size + len(line.content) > most
            if lines and (blank or full or line.too_long):
                yield first, b"".join(lines), None
                lines, size = [], 0
            if line.too_long:
                yield line.number, line.content, fault
            elif not blank:
                first = first if lines else line.number
                lines.append(line.content)
                size += len(line.content)
    if lines:
        yield first, b"".join(lines), None
