"""Use case: what a spec would make of a file's first rows, without a job."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import pyarrow as pa
from modelmill.data_prep.v1.data_prep_service_pb2 import (
    DatasetSpec,
    PreviewDatasetResponse,
    PreviewedRow,
)
from service_kit.errors import InvalidInputError

from data_prep.create_dataset import Files, columns_of, file_format_of, spec_fields
from data_prep.domain.dataset_plan import DatasetPlan, check_columns, plan_dataset
from data_prep.domain.mapping.map_block import map_block
from data_prep.domain.reading.file_formats import FileFormat
from data_prep.domain.reading.limits import ReadLimits
from data_prep.domain.reading.parse_block import parse_block
from data_prep.domain.reading.read_blocks import read_blocks
from data_prep.domain.rows import RejectedRow, SourceRow
from data_prep.domain.stages import Stage
from data_prep.domain.written_rows import write_rows

DEFAULT_ROWS, MAX_ROWS = 10, 100


class PreviewDataset:
    """Shows what rows would become, one by one: what needs all rows, duplicates and splits, is
    left out.

    Args:
        stages_of: The stages that a tenant's plan asks for, by name, in their order.
        max_row_bytes: As in the job, so that both see the same rows.
    """

    def __init__(
        self,
        files: Files,
        stages_of: Callable[[DatasetPlan, str], Sequence[tuple[str, Stage]]],
        *,
        max_row_bytes: int,
    ) -> None:
        self._files = files
        self._stages_of = stages_of
        self._max_row_bytes = max_row_bytes

    async def __call__(
        self, *, tenant: str, spec: DatasetSpec, rows: int = 0
    ) -> PreviewDatasetResponse:
        """The first rows, as they would become.

        Raises:
            NotFoundError: The file is unknown.
            InvalidInputError: The spec or the file is wrong, or so many rows are not shown.
        """
        if rows > MAX_ROWS:
            raise InvalidInputError(f"rows must be at most {MAX_ROWS}, got {rows}")
        file = await self._files.record(tenant=tenant, file_id=spec.file_id)
        plan = plan_dataset(spec_fields(spec))
        source = await self._files.content(file)
        stages = self._stages_of(plan, tenant)
        return await asyncio.to_thread(
            self._preview, plan, stages, source, file_format_of(file), rows or DEFAULT_ROWS
        )

    def _preview(
        self,
        plan: DatasetPlan,
        stages: Sequence[tuple[str, Stage]],
        source: Path,
        file_format: FileFormat,
        count: int,
    ) -> PreviewDatasetResponse:
        limits = ReadLimits(max_row_bytes=self._max_row_bytes, block_rows=count)
        with closing(read_blocks(source, file_format, limits)) as blocks:
            rows = list(islice((row for block in blocks for row in parse_block(block)), count))
        columns = columns_of(rows)
        if columns:
            check_columns(plan.mapping, columns)
        shown = sorted(_shown(plan, stages, rows), key=lambda row: row.line)
        return PreviewDatasetResponse(rows=shown, columns=columns)


def _shown(
    plan: DatasetPlan,
    stages: Sequence[tuple[str, Stage]],
    read: Sequence[SourceRow | RejectedRow],
) -> Iterable[PreviewedRow]:
    passed = map_block(read, plan.mapping)
    yield from _dropped(passed.dropped)
    for _, stage in stages:
        passed = stage(passed.rows)
        yield from _dropped(passed.dropped)
    rows = passed.rows
    written = write_rows(rows).lines
    parts = (rows.column("line").to_pylist(), rows.column("changes").to_pylist(), written)
    for line, changes, row in zip(*parts, strict=True):
        yield PreviewedRow(line=line, row_json=row.decode(), changes=changes)


def _dropped(dropped: pa.RecordBatch) -> Iterable[PreviewedRow]:
    for row in dropped.to_pylist():
        reason = row["rule"] if row["detail"] is None else f"{row['rule']}: {row['detail']}"
        yield PreviewedRow(line=row["line"], reason=reason)
