"""Maps a block of source rows to conversations, with validation of every row."""

from collections.abc import Callable, Sequence
from hashlib import sha256

from modelmill_data_prep.domain.mapping.chat_turns import read_tools
from modelmill_data_prep.domain.mapping.layouts import LAYOUTS, Columns, map_messages
from modelmill_data_prep.domain.mapping.mapped_row import MappedRow, mapped_batch, quarantined_batch
from modelmill_data_prep.domain.mapping.refusals import RowRefusedError, column_of
from modelmill_data_prep.domain.mapping.row_mapping import RowMapping
from modelmill_data_prep.domain.mapping.template_rows import map_by_templates, template_faults
from modelmill_data_prep.domain.rows import RejectedRow, SourceRow, rejected
from modelmill_data_prep.domain.stages import StageResult


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
    batch = mapped_batch([row.line for row in kept], _digests(kept), mapped)
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
