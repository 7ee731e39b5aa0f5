"""Blocks of an Excel workbook: rows of one sheet below its header, as JSON."""

import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.reading.faults import MORE_FIELDS, ReadLimits
from modelmill_data_prep.domain.reading.file_form import FileForm
from modelmill_data_prep.domain.reading.line_blocks import BlockMaker, RawRow
from modelmill_data_prep.domain.reading.table_rows import column_names, json_row

MAX_HELD_BYTES = 512 * 1024**2
MAX_TEXTS_BYTES = 64 * 1024**2
"""Limit of shared strings, which are completely in memory."""
MAX_ENTRIES = 10_000
MAX_ROWS = 1_048_576
"""Excel's own row limit."""
MAX_CELLS = 50_000_000
"""Limit of cells, including empty ones before the last of each row."""

_FREE_BYTES = 16 * 1024**2
_LISTED_SHEETS = 50
_REMEDY = "Save the sheet as CSV"

Answer = TypeVar("Answer")


def read_xlsx_blocks(path: Path, limits: ReadLimits, sheet: str) -> Iterator[Block]:
    """Rows of a sheet below its header; formulas by their cached values.

    Empty rows are skipped. Lines are row numbers of the sheet.


    Args:
        sheet: Sheet name; empty for the first.

    Raises:
        InvalidInputError: The file is not a workbook, corrupt, or exceeds a limit; or sheet or
            header are invalid.
    """
    with _opened(path, limits) as book:
        rows = _filled_rows(_readable(lambda: book[_name_of(book, sheet)]))
        yield from _blocks(rows, path.stat().st_size, limits)


def sheet_of(path: Path, limits: ReadLimits, sheet: str) -> str:
    """Resolve the sheet name; raises as `read_xlsx_blocks`."""
    with _opened(path, limits) as book:
        return _name_of(book, sheet)


@contextmanager
def _opened(path: Path, limits: ReadLimits) -> Iterator[Any]:
    _check_archive(path, limits)
    # Imported lazily: the import takes longer than reading most files.
    import openpyxl

    # A file object, because openpyxl rejects paths by extension.
    with path.open("rb") as file, warnings.catch_warnings():
        # openpyxl warns about unsupported features, which never affect values.
        warnings.simplefilter("ignore")
        book = _readable(
            lambda: openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        )
        try:
            yield book
        finally:
            book.close()


def _check_archive(path: Path, limits: ReadLimits) -> None:
    """Check decompressed sizes before decompressing (ZIP bombs)."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InvalidInputError("the file is no Excel workbook (.xlsx)") from error
    held = sum(entry.file_size for entry in entries)
    most = min(MAX_HELD_BYTES, limits.max_content_bytes)
    if held > most or len(entries) > MAX_ENTRIES:
        raise InvalidInputError(f"the workbook holds more than {most} bytes. {_REMEDY}")
    if held > _FREE_BYTES + limits.max_expansion * path.stat().st_size:
        raise InvalidInputError(
            f"the workbook expands to more than {limits.max_expansion} times its size"
        )
    texts = sum(entry.file_size for entry in entries if "sharedstrings" in entry.filename.lower())
    if texts > MAX_TEXTS_BYTES:
        raise InvalidInputError(
            f"the workbook holds more than {MAX_TEXTS_BYTES} bytes of texts. {_REMEDY}"
        )


def _readable(read: Callable[[], Answer]) -> Answer:
    """Call openpyxl; any exception means that the file is corrupt."""
    try:
        return read()
    except (InvalidInputError, MemoryError):
        raise
    except Exception as error:
        raise InvalidInputError("the file is no Excel workbook, or a damaged one") from error


def _name_of(book: Any, sheet: str) -> str:
    names = [one.title for one in book.worksheets]
    if not names:
        raise InvalidInputError("the workbook has no sheet with cells")
    if sheet and sheet not in names:
        listed = ", ".join(repr(name[:64]) for name in names[:_LISTED_SHEETS])
        raise InvalidInputError(f"the workbook has no sheet {sheet[:64]!r}, but {listed}")
    return sheet or names[0]


def _filled_rows(sheet: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Non-empty rows with their numbers."""
    # Declared dimensions of a sheet are not trustworthy.
    sheet.reset_dimensions()
    rows = sheet.iter_rows(values_only=True)
    number, cells = 0, 0
    while (row := _readable(lambda: next(rows, None))) is not None:
        number += 1
        cells += len(row)
        if number > MAX_ROWS or cells > MAX_CELLS:
            raise InvalidInputError(
                f"the sheet has more than {MAX_ROWS} rows or {MAX_CELLS} cells. {_REMEDY}"
            )
        last = max((place for place, value in enumerate(row, 1) if value is not None), default=0)
        if last:
            yield number, row[:last]


def _blocks(
    rows: Iterator[tuple[int, tuple[Any, ...]]], stored_bytes: int, limits: ReadLimits
) -> Iterator[Block]:
    _, header = next(rows, (0, ()))
    if not header:
        raise InvalidInputError("the sheet has no header")
    columns = column_names(["" if name is None else str(name) for name in header], "sheet's")
    # Progress is unknown inside a ZIP archive.
    make = BlockMaker("json", (), limits, FileForm(), lambda: stored_bytes)
    waiting: list[RawRow] = []
    size = 0
    for number, row in rows:
        waiting.append(_raw_row(number, row, columns, limits.max_row_bytes))
        size += len(waiting[-1][1])
        if len(waiting) >= limits.block_rows or size >= limits.chunk_bytes:
            yield from make.of_rows(waiting)
            waiting, size = [], 0
    yield from make.of_rows(waiting)


def _raw_row(
    number: int, row: tuple[Any, ...], columns: tuple[str, ...], max_row_bytes: int
) -> RawRow:
    missing = (None,) * (len(columns) - len(row))
    named = dict(zip(columns, row + missing, strict=False))
    line, raw, fault = json_row(number, named, max_row_bytes)
    return line, raw, MORE_FIELDS.written if len(row) > len(columns) else fault
