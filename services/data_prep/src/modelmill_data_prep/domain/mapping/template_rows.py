"""Maps rows by templates, vectorised by column."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from modelmill_data_prep.domain.mapping.mapped_row import batch_of_turns
from modelmill_data_prep.domain.mapping.refusals import (
    RowRefusedError,
    all_encodable,
    all_seen,
    check_text,
    column_of,
)
from modelmill_data_prep.domain.mapping.row_mapping import RowMapping
from modelmill_data_prep.domain.mapping.templates import Template
from modelmill_data_prep.domain.reading.faults import Fault
from modelmill_data_prep.domain.rows import SourceRow

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
