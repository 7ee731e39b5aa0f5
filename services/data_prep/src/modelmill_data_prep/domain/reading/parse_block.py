"""Parses the rows of a block to columns; an invalid row is rejected individually."""

import csv
import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import msgspec
import numpy as np

from modelmill_data_prep.domain.blocks import Block, RejectedRow, RowForm, SourceRow, rejected
from modelmill_data_prep.domain.reading.faults import (
    FEWER_FIELDS,
    MALFORMED_CSV,
    MORE_FIELDS,
    NOT_AN_OBJECT,
    NOT_JSON,
    NOT_UTF8,
    TOO_DEEP,
    Fault,
    not_in,
)
from modelmill_data_prep.domain.reading.file_form import UTF8
from modelmill_data_prep.domain.reading.text_encoding import in_file, in_utf8

_LARGEST_FIELD = 2**31 - 1


def csv_fields(raw: bytes, delimiter: str = ",") -> list[str] | Fault:
    """Fields of one record in UTF-8, with or without line end."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return NOT_UTF8
    if '"' not in text:
        text = text.removesuffix("\n").removesuffix("\r")
        if "\r" not in text and "\n" not in text:
            return text.split(delimiter)
    allow_long_fields()
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        return MALFORMED_CSV


def allow_long_fields() -> None:
    """Raise the field limit of the csv module; rows are bounded as a whole."""
    csv.field_size_limit(_LARGEST_FIELD)


MAX_DEPTH = 100
"""Nesting limit of JSON; fixed, so that results do not depend on the stack size."""

TEXT_COLUMN = "text"
"""Column name for plain text documents."""


def parse_block(block: Block) -> list[SourceRow | RejectedRow]:
    """Parse every row, in order; invalid ones become rejected rows.

    `raw` excludes the line end, and for documents surrounding blanks.
    """
    lines = block.rows.column("line").to_pylist()
    raws = block.rows.column("raw").to_pylist()
    faults = block.rows.column("fault")
    if block.encoding == UTF8:
        rows = _PARSERS[block.form](lines, raws, block)
    else:
        rows = _parse_encoded(lines, raws, block)
    if faults.null_count < len(lines):
        for place, written in enumerate(faults.to_pylist()):
            if written is not None:
                raw = in_file(raws[place], block.encoding)
                rows[place] = rejected(lines[place], Fault.of(written), raw, block.encoding)
    return rows


def _parse_encoded(
    lines: Sequence[int], raws: Sequence[bytes], block: Block
) -> list[SourceRow | RejectedRow]:
    """Rows in another encoding: parsed as UTF-8, with `raw` in the file's encoding."""
    encoding = block.encoding
    texts = [in_utf8(raw, encoding) for raw in raws]
    rows = _PARSERS[block.form](lines, [text or b"" for text in texts], block)
    for place, (row, raw, text) in enumerate(zip(rows, raws, texts, strict=True)):
        raw = in_file(raw.strip() if block.form == "text" else raw.rstrip(b"\r\n"), encoding)
        if text is None:
            rows[place] = rejected(row.line, not_in(encoding), raw, encoding)
        elif isinstance(row, SourceRow):
            rows[place] = SourceRow(row.line, row.columns, raw, encoding)
        else:
            rows[place] = rejected(row.line, Fault(row.rule, row.reason), raw, encoding)
    return rows


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; of duplicate names the last one wins.

    Raises:
        ValueError: Invalid JSON (including NaN and Infinity), invalid UTF-8, or too deeply nested.
    """
    try:
        value = _DECODE(text)
    except (msgspec.MsgspecError, RecursionError):
        value = _parse_slowly(text.encode() if isinstance(text, str) else text)
    if nests_too_deeply(text, value):
        raise NestedTooDeeplyError
    return value


def nests_too_deeply(text: str | bytes, value: Any) -> bool:
    """Whether a parsed value exceeds the nesting limit."""
    return _may_be_deep(text) and _is_deeper(value, MAX_DEPTH)


class NestedTooDeeplyError(ValueError):
    """JSON exceeds the nesting limit `MAX_DEPTH`."""


_DECODE = msgspec.json.Decoder().decode


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_SLOW_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _parse_slowly(text: bytes) -> Any:
    """Fallback for JSON that msgspec rejects: unpaired surrogates and arbitrarily large numbers."""
    try:
        return _SLOW_DECODER.decode(text.decode("utf-8"))
    except (ValueError, RecursionError):
        # Count brackets, so that the remaining stack does not determine the error.
        if _may_be_deep(text) and _bracket_depth(text) > MAX_DEPTH:
            raise NestedTooDeeplyError from None
        raise ValueError("not JSON") from None


def _may_be_deep(text: str | bytes) -> bool:
    if len(text) <= MAX_DEPTH:
        return False
    if isinstance(text, str):
        return text.count("[") + text.count("{") > MAX_DEPTH
    return text.count(b"[") + text.count(b"{") > MAX_DEPTH


def _bracket_depth(text: bytes) -> int:
    characters = np.frombuffer(text, np.uint8)
    opened = np.isin(characters, list(b"[{")).astype(np.int64)
    closed = np.isin(characters, list(b"]}")).astype(np.int64)
    return int(np.cumsum(opened - closed).max())


def _is_deeper(value: Any, most: int) -> bool:
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(most):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, list | dict)
        ]
    return bool(level)


def _parse_json_rows(
    lines: Sequence[int], raws: Sequence[bytes], block: Block
) -> list[SourceRow | RejectedRow]:
    rows: list[SourceRow | RejectedRow] = []
    for line, raw in zip(lines, raws, strict=True):
        raw = raw.rstrip(b"\r\n")
        try:
            value = parse_json(raw)
        except UnicodeDecodeError:
            rows.append(rejected(line, NOT_UTF8, raw))
        except NestedTooDeeplyError:
            rows.append(rejected(line, TOO_DEEP, raw))
        except ValueError:
            rows.append(rejected(line, NOT_JSON, raw))
        else:
            if type(value) is dict:
                rows.append(SourceRow(line, value, raw))
            else:
                rows.append(rejected(line, NOT_AN_OBJECT, raw))
    return rows


def _parse_csv_rows(
    lines: Sequence[int], raws: Sequence[bytes], block: Block
) -> list[SourceRow | RejectedRow]:
    rows: list[SourceRow | RejectedRow] = []
    columns = block.columns
    for line, raw in zip(lines, raws, strict=True):
        raw = raw.rstrip(b"\r\n")
        fields = csv_fields(raw, block.delimiter)
        if isinstance(fields, Fault):
            rows.append(rejected(line, fields, raw))
        elif len(fields) != len(columns):
            fault = MORE_FIELDS if len(fields) > len(columns) else FEWER_FIELDS
            rows.append(rejected(line, fault, raw))
        else:
            rows.append(SourceRow(line, dict(zip(columns, fields, strict=True)), raw))
    return rows


def _parse_documents(
    lines: Sequence[int], raws: Sequence[bytes], block: Block
) -> list[SourceRow | RejectedRow]:
    rows: list[SourceRow | RejectedRow] = []
    for line, raw in zip(lines, raws, strict=True):
        raw = raw.strip()
        try:
            rows.append(SourceRow(line, {TEXT_COLUMN: raw.decode("utf-8")}, raw))
        except UnicodeDecodeError:
            rows.append(rejected(line, NOT_UTF8, raw))
    return rows


def _parse_passages(
    lines: Sequence[int], raws: Sequence[bytes], block: Block
) -> list[SourceRow | RejectedRow]:
    rows: list[SourceRow | RejectedRow] = []
    for row in _parse_json_rows(lines, raws, block):
        if isinstance(row, SourceRow):
            place = {name: it for name, it in row.columns.items() if name != TEXT_COLUMN}
            document = msgspec.json.encode(place).decode()
            row = SourceRow(row.line, row.columns, row.raw, document=document)
        rows.append(row)
    return rows


_Parser = Callable[[Sequence[int], Sequence[bytes], Block], list[SourceRow | RejectedRow]]
_PARSERS: dict[RowForm, _Parser] = {
    "json": _parse_json_rows,
    "csv": _parse_csv_rows,
    "text": _parse_documents,
    "passage": _parse_passages,
}
