"""Rows out of the lines of a CSV file with a header (RFC 4180: comma, doubled quotes)."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from service_kit.errors import InvalidInputError

from data_prep.domain.lines import Line, LineReader
from data_prep.domain.rows import RejectedRow, SourceRow, rejected

_LARGEST_FIELD = 2**31 - 1


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    raw: bytes
    fields: list[str]
    fault: str = ""
    """Why there are no fields."""


def read_csv(lines: LineReader) -> Iterator[SourceRow | RejectedRow]:
    """Every row below the header, in order; a malformed one comes as a rejected one.

    Blank lines are no rows. A quote that is never closed costs its own line, not the rest.

    Raises:
        InvalidInputError: The header cannot be used.
    """
    # The default is smaller than a row may be; `_read_record` bounds the record as a whole.
    csv.field_size_limit(_LARGEST_FIELD)
    records = _read_records(lines)
    header = _check_header(next(records, None))
    for record in records:
        if record.fault:
            yield rejected(record.line, record.fault, record.raw)
        elif len(record.fields) != len(header):
            wrong = "more" if len(record.fields) > len(header) else "fewer"
            yield rejected(record.line, f"{wrong} fields than the header", record.raw)
        else:
            columns = dict(zip(header, record.fields, strict=True))
            yield SourceRow(record.line, columns, record.raw)


def _check_header(record: _Record | None) -> list[str]:
    if record is None:
        raise InvalidInputError("the CSV file has no header")
    if record.fault:
        raise InvalidInputError(f"the header of the CSV file is {record.fault}")
    names = [name.strip() for name in record.fields]
    errors = [
        f"column {place} of the CSV header has no name"
        for place, name in enumerate(names, start=1)
        if not name
    ]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    errors += [f"the CSV header names column {name[:64]!r} twice" for name in twice]
    if errors:
        raise InvalidInputError(errors)
    return names


def _read_records(lines: LineReader) -> Iterator[_Record]:
    while (record := _read_record(lines)) is not None:
        if record.fault or record.fields:
            yield record


def _read_record(lines: LineReader) -> _Record | None:
    """The next record, with no fields for a blank line; None at the end of the file."""
    taken: list[Line] = []
    try:
        fields = next(csv.reader(_lines_of_one_record(lines, taken), strict=True))
    except StopIteration:
        if not taken:
            return None
        return _Record(taken[0].number, taken[0].content, [], lines.reason_too_long)
    except csv.Error as error:
        # Only the first line is known to be wrong; what follows is read as rows of its own.
        lines.give_back(taken[1:])
        unclosed = "unexpected end" in str(error)
        fault = "a quote that is never closed" if unclosed else "malformed CSV"
        return _Record(taken[0].number, taken[0].content, [], fault)
    raw = b"".join(line.content for line in taken)
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return _Record(taken[0].number, raw, [], "not UTF-8")
    return _Record(taken[0].number, raw, fields)


def _lines_of_one_record(lines: LineReader, taken: list[Line]) -> Iterator[str]:
    """As many lines as the CSV reader asks for, `max_row_bytes` at most; each goes into `taken`."""
    size = 0
    for line in lines:
        size += len(line.content)
        if taken and (line.too_long or size > lines.max_row_bytes):
            lines.give_back([line])
            return
        taken.append(line)
        if line.too_long:
            return
        yield line.content.decode("utf-8", errors="surrogateescape")
