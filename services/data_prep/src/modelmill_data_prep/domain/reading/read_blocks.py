"""Reads any supported file as blocks; a bad row never prevents reading the rest."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from modelmill_documents.document_format import is_document_format

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.reading.byte_streams import ContentStream, open_content
from modelmill_data_prep.domain.reading.csv_blocks import read_csv_blocks
from modelmill_data_prep.domain.reading.document_blocks import read_document_blocks
from modelmill_data_prep.domain.reading.faults import ReadLimits, too_long
from modelmill_data_prep.domain.reading.file_form import (
    FileForm,
    FileFormat,
    RowFormat,
    row_format_of,
)
from modelmill_data_prep.domain.reading.line_blocks import (
    BlockMaker,
    RawRow,
    blocks_of_lines,
    kept_bytes_of,
    lines_of,
    read_jsonl_blocks,
    read_line_runs,
)
from modelmill_data_prep.domain.reading.memory_bound import bounded_steps
from modelmill_data_prep.domain.reading.parquet_blocks import check_parquet, read_parquet_blocks
from modelmill_data_prep.domain.reading.text_encoding import SNIFFED_BYTES, check_rows_opening
from modelmill_data_prep.domain.reading.xlsx_blocks import read_xlsx_blocks, sheet_of


def read_text_blocks(stream: ContentStream, limits: ReadLimits, form: FileForm) -> Iterator[Block]:
    """Documents: paragraphs of at most `max_document_bytes`, or lines if the options say so.

    A line above the document limit is a document of its own; above the row limit it is a fault.
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


AS_USUAL = FileForm()

_READERS: dict[RowFormat, Callable[[ContentStream, ReadLimits, FileForm], Iterator[Block]]] = {
    "jsonl": read_jsonl_blocks,
    "csv": read_csv_blocks,
    "text": read_text_blocks,
}


def read_blocks(
    path: Path,
    file_format: FileFormat,
    limits: ReadLimits,
    form: FileForm = AS_USUAL,
    name: str = "",
) -> Generator[Block, None, None]:
    """Unparsed rows of a file, in order, with a fault for unreadable rows.

    Memory is bounded, and block boundaries do not affect rows. A document that is refused is one
    unreadable row.

    Args:
        name: As people know the file; passages of documents name it.

    Raises:
        InvalidInputError: The file is not of its format, corrupt, or exceeds a limit.
    """
    row_format = row_format_of(file_format)
    if row_format == "parquet":
        yield from bounded_steps(read_parquet_blocks(path, limits), limits.memory_bytes)
        return
    if row_format == "xlsx":
        rows = read_xlsx_blocks(path, limits, form.sheet)
        yield from bounded_steps(rows, limits.memory_bytes)
        return
    if is_document_format(row_format):
        yield from read_document_blocks(path, row_format, limits, form, name)
        return
    with open_content(path, file_format, limits, form.encoding) as stream:
        yield from _READERS[row_format](stream, limits, form)


def check_opening(path: Path, file_format: FileFormat) -> None:
    """Check the beginning of a file, or the metadata of Parquet and Excel, without reading rows.

    Documents are not looked at: of many, a bad one costs its own row when they are read.

    Raises:
        InvalidInputError: The file is not of its format.
    """
    if row_format_of(file_format) == "parquet":
        check_parquet(path, ReadLimits())
        return
    if row_format_of(file_format) == "xlsx":
        sheet_of(path, ReadLimits(), "")
        return
    if is_document_format(row_format_of(file_format)):
        return
    with open_content(path, file_format, ReadLimits()) as content:
        if row_format_of(file_format) == "jsonl":
            check_rows_opening(content.read(SNIFFED_BYTES))
