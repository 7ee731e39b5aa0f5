"""Rows out of the lines of a JSONL file."""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from data_prep.domain.lines import Line, LineReader
from data_prep.domain.rows import RejectedRow, SourceRow, rejected


def read_jsonl(lines: LineReader) -> Iterator[SourceRow | RejectedRow]:
    """Every row, in order; one that is no JSON object comes as a rejected one.

    Blank lines are no rows.
    """
    for line in lines:
        if line.too_long:
            yield rejected(line.number, lines.reason_too_long, line.content)
        elif line.content.strip():
            yield _parse_row(line)


def _parse_row(line: Line) -> SourceRow | RejectedRow:
    try:
        columns = parse_json(line.content.decode("utf-8"))
    except UnicodeDecodeError:
        return rejected(line.number, "not UTF-8", line.content)
    except ValueError:
        return rejected(line.number, "not JSON", line.content)
    if not isinstance(columns, dict):
        return rejected(line.number, "not a JSON object", line.content)
    return SourceRow(line.number, columns, line.content)


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: Not JSON (NaN and Infinity are not), or nested too deeply to be read.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
