"""Blocks of an Excel workbook: the rows of one sheet below its header, as JSON."""

import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.reading.block_making import BlockMaker, RawRow
from modelmill_data_prep.domain.reading.faults import MORE_FIELDS
from modelmill_data_prep.domain.reading.file_form import FileForm
from modelmill_data_prep.domain.reading.header import column_names
from modelmill_data_prep.domain.reading.json_rows import json_row
from modelmill_data_prep.domain.reading.limits import ReadLimits

MAX_HELD_BYTES = 512 * 1024**2
MAX_TEXTS_BYTES = 64 * 1024**2
"""Of the texts that cells share, which are all in memory at once."""
MAX_ENTRIES = 10_000
MAX_ROWS = 1_048_576
"""As many as Excel has."""
MAX_CELLS = 50_000_000
"""Up to the last one of each row, also those that are empty."""

_FREE_BYTES = 16 * 1024**2
_LISTED_SHEETS = 50
_REMEDY = "Save the sheet as CSV"

Answer = TypeVar("Answer")


def read_xlsx_blocks(path: Path, limits: ReadLimits, sheet: str) -> Iterator[Block]:
    """All rows of a sheet below its header, a formula by the value that it had when it was saved.

    Rows without a value are none. A line is the number of the row in the sheet.

    Args:
        sheet: Its name; empty for the first one.

    Raises:
        InvalidInputError: No workbook, a damaged one, one that holds more than we read, no such
            sheet, or a header that cannot be used.
    """
    with _opened(path, limits) as book:
        rows = _filled_rows(_readable(lambda: book[_name_of(book, sheet)]))
        yield from _blocks(rows, path.stat().st_size, limits)


def sheet_of(path: Path, limits: ReadLimits, sheet: str) -> str:
    """The name of the sheet that is read; raises as `read_xlsx_blocks`."""
    with _opened(path, limits) as book:
        return _name_of(book, sheet)


@contextmanager
def _opened(path: Path, limits: ReadLimits) -> Iterator[Any]:
    _check_archive(path, limits)
    # Loading it takes longer than most files do.
    import openpyxl

    # Opened here, because the reader judges a path by its ending.
    with path.open("rb") as file, warnings.catch_warnings():
        # Of what Excel can and this reader cannot, which is never a value.
        warnings.simplefilter("ignore")
        book = _readable(
            lambda: openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        )
        try:
            yield book
        finally:
            book.close()


def _check_archive(path: Path, limits: ReadLimits) -> None:
    """Refuse what unpacks to more than we read, before anything is unpacked."""
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
    """What the reader says; whatever it raises means that the file is damaged."""
    try:
        return read()
    except InvalidInputError:
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
    """The rows that have a value, with their numbers."""
    # What a file says about its size need not be so.
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
    # How far the reading is cannot be told from a packed file.
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
