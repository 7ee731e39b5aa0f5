"""Blocks of a CSV file with header (RFC 4180, with several delimiters)."""

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.reading.byte_streams import ContentStream
from modelmill_data_prep.domain.reading.faults import (
    MALFORMED_CSV,
    UNCLOSED_QUOTE,
    Fault,
    ReadLimits,
    not_in,
    too_long,
)
from modelmill_data_prep.domain.reading.file_form import CODECS, DELIMITERS, UTF8, UTF16, FileForm
from modelmill_data_prep.domain.reading.line_blocks import (
    BlockMaker,
    Line,
    LineRun,
    RawRow,
    blank_lines,
    kept_bytes_of,
    lines_of,
    read_line_runs,
)
from modelmill_data_prep.domain.reading.parse_block import allow_long_fields, csv_fields
from modelmill_data_prep.domain.reading.table_rows import column_names
from modelmill_data_prep.domain.reading.text_encoding import in_utf8


def _one_line_record(delimiter: str) -> re.Pattern[bytes]:
    """Pattern of a record that certainly ends with its line, as all quotes are balanced."""
    mark = re.escape(delimiter).encode()
    field = rb'(?:"[^"]*+(?:""[^"]*+)*+"|[^"%b\r\n][^%b\r\n]*+|)' % (mark, mark)
    return re.compile(rb"%b(?:%b%b)*+\r?\n?" % (field, mark, field))


_ONE_LINE_RECORDS = {delimiter: _one_line_record(delimiter) for delimiter in DELIMITERS}

_SHORT_LOOK_BYTES = 4096
_FREE_LOOKS = 16


def read_csv_blocks(stream: ContentStream, limits: ReadLimits, form: FileForm) -> Iterator[Block]:
    """Unparsed rows below the header; empty lines are skipped.

    An unclosed quote rejects its own line only.

    Raises:
        InvalidInputError: The header is invalid.
    """
    allow_long_fields()
    records = _Records(read_line_runs(stream, limits), limits, form)
    header = records.next_record()
    while header is not None and not header[1].strip(b"\r\n"):
        header = records.next_record()
    columns = _check_header(header, form)
    make = BlockMaker("csv", columns, limits, form, lambda: stream.stored_bytes_read)
    while (part := records.next_part(limits.block_rows)) is not None:
        if isinstance(part, LineRun):
            # White space is a field; only an empty line is skipped.
            blank = blank_lines(part, b"\r\n")
            yield from make.of_run(part, blank)
        else:
            yield from make.of_rows([row for row in part if row[2] or row[1].strip(b"\r\n")])


def _check_header(record: RawRow | None, form: FileForm) -> tuple[str, ...]:
    if record is None:
        raise InvalidInputError("the CSV file has no header")
    _, raw, fault = record
    if fault:
        fields: list[str] | Fault = Fault.of(fault)
    else:
        text = in_utf8(raw, form.encoding)
        fields = not_in(form.encoding) if text is None else csv_fields(text, form.delimiter)
    if isinstance(fields, Fault):
        raise InvalidInputError(f"the header of the CSV file is {fields.reason}")
    return column_names(fields, "CSV")


@dataclass
class _Looking:
    """Bounds the lookahead for closing quotes, so that unclosed ones do not cause quadratic
    time."""

    max_bytes: int
    passed_bytes: int = 0
    wasted_bytes: int = 0

    @property
    def allowed_bytes(self) -> int:
        """Current lookahead limit."""
        free = _FREE_LOOKS * self.max_bytes + self.passed_bytes
        return self.max_bytes if self.wasted_bytes <= free else _SHORT_LOOK_BYTES


class _Records:
    """Groups lines to records; runs without quotes are passed through."""

    def __init__(self, runs: Iterator[LineRun], limits: ReadLimits, form: FileForm) -> None:
        self._runs = runs
        # Syntax is ASCII; undecodable bytes are reported when the row is parsed.
        encoded = form.encoding in UTF16 or form.encoding == UTF8
        self._decode = partial(_decoded, "utf-8" if encoded else CODECS[form.encoding])
        self._delimiter = form.delimiter
        # In other encodings "|" may be the second byte of a character.
        ends_surely = encoded or form.delimiter != "|"
        self._ends_surely = _ONE_LINE_RECORDS[form.delimiter].fullmatch if ends_surely else None
        self._kept = kept_bytes_of(limits.max_row_bytes)
        self._too_long = too_long(limits.max_row_bytes).written
        self._waiting: deque[Line] = deque()
        self._looking = _Looking(limits.max_row_bytes)

    def next_part(self, most: int) -> LineRun | list[RawRow] | None:
        """The next rows: a line run without quotes, or at most `most` records."""
        if not self._waiting:
            run = next(self._runs, None)
            if run is None:
                return None
            if run.too_long is None and b'"' not in run.data:
                return run
            self._waiting.extend(lines_of(run, self._kept))
        records: list[RawRow] = []
        while self._waiting and len(records) < most:
            records.append(self._record(self._waiting.popleft()))
        return records

    def next_record(self) -> RawRow | None:
        """The next record."""
        line = self._next_line()
        return None if line is None else self._record(line)

    def _next_line(self) -> Line | None:
        if not self._waiting and (run := next(self._runs, None)) is not None:
            self._waiting.extend(lines_of(run, self._kept))
        return self._waiting.popleft() if self._waiting else None

    def _record(self, line: Line) -> RawRow:
        self._looking.passed_bytes += len(line.content)
        if line.too_long:
            return line.number, line.content, self._too_long
        if b'"' not in line.content or (self._ends_surely and self._ends_surely(line.content)):
            return line.number, line.content, None
        taken = [line]
        try:
            next(csv.reader(self._text_of_record(taken), delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            # Reject only the first line; the following ones are read as records again.
            self._waiting.extendleft(reversed(taken[1:]))
            self._looking.wasted_bytes += sum(len(more.content) for more in taken[1:])
            unclosed = "unexpected end" in str(error)
            fault = UNCLOSED_QUOTE if unclosed else MALFORMED_CSV
            return line.number, line.content, fault.written
        return line.number, b"".join(more.content for more in taken), None

    def _text_of_record(self, taken: list[Line]) -> Iterator[str]:
        """Lines that the CSV reader requests, up to the lookahead limit; recorded in `taken`."""
        size = len(taken[0].content)
        yield self._decode(taken[0].content)
        while (line := self._next_line()) is not None:
            size += len(line.content)
            if line.too_long or size > self._looking.allowed_bytes:
                self._waiting.appendleft(line)
                return
            taken.append(line)
            yield self._decode(line.content)


def _decoded(codec: str, content: bytes) -> str:
    return content.decode(codec, errors="replace")
