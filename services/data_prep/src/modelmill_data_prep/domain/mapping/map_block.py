"""Maps a block of source rows to conversations, with validation of every row."""

import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa

from modelmill_data_prep.domain.blocks import RejectedRow, SourceRow, rejected
from modelmill_data_prep.domain.mapping.chat_turns import read_tools
from modelmill_data_prep.domain.mapping.layouts import LAYOUTS, Columns, map_messages
from modelmill_data_prep.domain.mapping.mapped_row import (
    MappedRow,
    RowRefusedError,
    all_encodable,
    all_seen,
    batch_of_turns,
    check_text,
    column_of,
    mapped_batch,
    quarantined_batch,
)
from modelmill_data_prep.domain.mapping.row_mapping import RowMapping, Template
from modelmill_data_prep.domain.reading.faults import Fault
from modelmill_data_prep.domain.stages import StageResult

_MISSING = object()


def template_faults(rows: Sequence[SourceRow], mapping: RowMapping) -> dict[int, Fault]:
    """Fault in the first invalid column, by index of each invalid row."""
    faults: dict[int, Fault] = {}
    for column in mapping.text_columns:
        values = [row.columns.get(column, _MISSING) for row in rows]
        if set(map(type, values)) <= {str} and all_seen(values) and all_encodable(values):
            continue
        for place, row in enumerate(rows):
            if place not in faults:
                try:
                    check_text(_text_of(row, column), f"column {column!r}")
                except RowRefusedError as refused:
                    faults[place] = refused.fault
    if mapping.rejected and mapping.answer:
        same = zip(
            _filled(mapping.answer, rows, faults),
            _filled(mapping.rejected, rows, faults),
            strict=True,
        )
        for place, (better, worse) in enumerate(same):
            if better == worse and place not in faults:
                faults[place] = Fault("map.same_answers", "both answers are the same")
    return faults


def map_by_templates(
    rows: Sequence[SourceRow],
    sources: Sequence[bytes],
    tools: Sequence[str | None],
    mapping: RowMapping,
) -> pa.RecordBatch:
    """Map valid rows to a batch of `ROWS`."""
    templates = mapping.templates
    texts = [_filled(template, rows, {}) for _, template in templates]
    contents = [text for turns in zip(*texts, strict=True) for text in turns]
    roles = pa.array([role for role, _ in templates], pa.string())
    rejected = _filled(mapping.rejected, rows, {}) if mapping.rejected else [None] * len(rows)
    return batch_of_turns(
        [row.line for row in rows],
        sources,
        lengths=[len(templates)] * len(rows),
        roles=roles.take(pa.array(np.tile(np.arange(len(templates)), len(rows)), pa.int64())),
        contents=contents,
        extras=pa.nulls(len(contents), pa.string()),
        tools=tools,
        rejected=rejected,
        documents=[row.document for row in rows],
    )


def _filled(template: Template, rows: Sequence[SourceRow], without: dict[int, Fault]) -> list[str]:
    """Rendered template for each row; empty for rows of `without`."""
    fill = _filler(template)
    if without:
        return [
            "" if place in without else fill(tuple(_text_of(row, one) for one in template.columns))
            for place, row in enumerate(rows)
        ]
    columns = []
    for column in template.columns:
        values = [row.columns[column] for row in rows]
        if not set(map(type, values)) <= {str}:
            values = [str(value) for value in values]
        columns.append(values)
    if not columns:
        return [fill(())] * len(rows)
    if template.literals == ("", ""):
        return columns[0]
    return list(map(fill, zip(*columns, strict=True)))


def _filler(template: Template) -> Callable[[tuple[str, ...]], str]:
    """A template as a `%` format, which is faster than concatenation."""
    return "%s".join(literal.replace("%", "%%") for literal in template.literals).__mod__


def _text_of(row: SourceRow, column: str) -> str:
    value: Any = column_of(row.columns, column)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RowRefusedError("not_text", f"column {column!r} is neither text nor a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise RowRefusedError("not_finite", f"column {column!r} is not a finite number")
    return str(value)


def map_block(rows: Sequence[SourceRow | RejectedRow], mapping: RowMapping) -> StageResult:
    """Map rows in order; invalid and previously rejected rows are quarantined.

    Texts are not changed.
    """
    refused = [row for row in rows if type(row) is RejectedRow]
    readable = [row for row in rows if type(row) is SourceRow]
    if mapping.layout or mapping.messages_column:
        return _map_each(readable, refused, _mapper(mapping))
    return _map_all(readable, refused, mapping)


def _mapper(mapping: RowMapping) -> Callable[[Columns], MappedRow]:
    if mapping.messages_column:
        return lambda columns: map_messages(columns, mapping.messages_column, mapping.tools_column)
    layout = LAYOUTS[mapping.layout]
    if not mapping.tools_column:
        return layout
    return lambda columns: layout(columns)._replace(
        tools=read_tools(column_of(columns, mapping.tools_column))
    )


def _map_each(
    rows: Sequence[SourceRow],
    refused: list[RejectedRow],
    map_row: Callable[[Columns], MappedRow],
) -> StageResult:
    kept: list[SourceRow] = []
    mapped: list[MappedRow] = []
    for row in rows:
        try:
            mapped.append(map_row(row.columns))
        except RowRefusedError as error:
            refused.append(rejected(row.line, error.fault, row.raw, row.encoding))
        else:
            kept.append(row)
    documents = [row.document for row in kept]
    batch = mapped_batch([row.line for row in kept], _digests(kept), mapped, documents)
    return StageResult(batch, quarantined_batch(_in_order(refused)))


def _map_all(
    rows: Sequence[SourceRow], refused: list[RejectedRow], mapping: RowMapping
) -> StageResult:
    faults = template_faults(rows, mapping)
    tools: list[str | None] = [None] * len(rows)
    if mapping.tools_column:
        for place, row in enumerate(rows):
            try:
                tools[place] = read_tools(column_of(row.columns, mapping.tools_column))
            except RowRefusedError as error:
                faults.setdefault(place, error.fault)
    if faults:
        refused += [
            rejected(rows[at].line, fault, rows[at].raw, rows[at].encoding)
            for at, fault in faults.items()
        ]
        tools = [one for at, one in enumerate(tools) if at not in faults]
        rows = [row for at, row in enumerate(rows) if at not in faults]
    batch = map_by_templates(rows, _digests(rows), tools, mapping)
    return StageResult(batch, quarantined_batch(_in_order(refused)))


def _digests(rows: Sequence[SourceRow]) -> list[bytes]:
    return [sha256(row.raw).digest() for row in rows]


def _in_order(refused: list[RejectedRow]) -> list[RejectedRow]:
    return sorted(refused, key=lambda row: row.line)
