"""Blocks of rows out of a file. Nothing that stands in a row ends the reading of the rest."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.reading.byte_streams import ContentStream, open_content
from modelmill_data_prep.domain.reading.csv_blocks import read_csv_blocks
from modelmill_data_prep.domain.reading.file_form import FileForm
from modelmill_data_prep.domain.reading.file_formats import FileFormat, RowFormat, row_format_of
from modelmill_data_prep.domain.reading.jsonl_blocks import read_jsonl_blocks
from modelmill_data_prep.domain.reading.limits import ReadLimits
from modelmill_data_prep.domain.reading.parquet_blocks import check_parquet, read_parquet_blocks
from modelmill_data_prep.domain.reading.text_blocks import read_text_blocks
from modelmill_data_prep.domain.reading.text_opening import SNIFFED_BYTES, check_rows_opening
from modelmill_data_prep.domain.reading.xlsx_blocks import read_xlsx_blocks, sheet_of

AS_USUAL = FileForm()

_READERS: dict[RowFormat, Callable[[ContentStream, ReadLimits, FileForm], Iterator[Block]]] = {
    "jsonl": read_jsonl_blocks,
    "csv": read_csv_blocks,
    "text": read_text_blocks,
}


def read_blocks(
    path: Path, file_format: FileFormat, limits: ReadLimits, form: FileForm = AS_USUAL
) -> Generator[Block, None, None]:
    """The rows of a file, unparsed, in order; a row that cannot be read comes with its fault.

    Memory holds a few chunks and rows, whatever the file holds. Where one block ends and the next
    begins changes nothing about the rows.

    Raises:
        InvalidInputError: The file is not of its format, damaged, or larger than the limits allow.
    """
    row_format = row_format_of(file_format)
    if row_format == "parquet":
        yield from read_parquet_blocks(path, limits)
        return
    if row_format == "xlsx":
        yield from read_xlsx_blocks(path, limits, form.sheet)
        return
    with open_content(path, file_format, limits, form.encoding) as stream:
        yield from _READERS[row_format](stream, limits, form)


def check_opening(path: Path, file_format: FileFormat) -> None:
    """Look at the beginning of a file, at what Parquet and Excel say of themselves, and at no rows.

    Raises:
        InvalidInputError: It cannot be of its format.
    """
    if row_format_of(file_format) == "parquet":
        check_parquet(path, ReadLimits())
        return
    if row_format_of(file_format) == "xlsx":
        sheet_of(path, ReadLimits(), "")
        return
    with open_content(path, file_format, ReadLimits()) as content:
        if row_format_of(file_format) == "jsonl":
            check_rows_opening(content.read(SNIFFED_BYTES))
