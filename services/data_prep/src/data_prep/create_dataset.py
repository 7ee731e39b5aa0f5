"""Use case: a wish for a dataset to an accepted job, with everything wrong said at once."""

import asyncio
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import Protocol

from google.protobuf.json_format import MessageToDict
from jobs.kinds import DATASET, dataset_id_of, prefix_of
from jobs.submit import JobQueue
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec, SplitShares
from modelmill.jobs.v1.job_pb2 import JOB_PRIORITY_NORMAL, JobPriority
from modelmill.registry.v1.model_events_pb2 import FileState
from service_kit.errors import InvalidInputError
from service_kit.machine_size import MachineSize

from data_prep.domain.dataset_plan import (
    MAX_NAME_CHARACTERS,
    DatasetPlan,
    check_columns,
    plan_dataset,
)
from data_prep.domain.reading.file_formats import FileFormat, format_of
from data_prep.domain.reading.limits import ReadLimits
from data_prep.domain.reading.parse_block import parse_block
from data_prep.domain.reading.read_blocks import read_blocks
from data_prep.domain.rows import RejectedRow, SourceRow

PEEK_ROWS = 100
LIBRARIES_BYTES = 1 << 29
"""What making any dataset takes. Digests and groups take about the size of a file of short rows."""


class Files(Protocol):
    async def record(self, *, tenant: str, file_id: str) -> FileState:
        """Raises NotFoundError, naming the file."""
        ...

    async def content(self, file: FileState) -> Path:
        """A local copy of the file's bytes."""
        ...


@dataclass(frozen=True)
class AcceptedDataset:
    job_id: str
    dataset_id: str
    sequence: int
    """JOBS sequence of the request."""


class CreateDataset:
    """Accepts jobs of kind dataset.

    Args:
        max_row_bytes: As in the job, so that both see the same rows.
    """

    def __init__(self, files: Files, queue: JobQueue, *, max_row_bytes: int) -> None:
        self._files = files
        self._queue = queue
        self._max_row_bytes = max_row_bytes

    async def __call__(
        self,
        *,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        spec: DatasetSpec,
        priority: JobPriority.ValueType = JOB_PRIORITY_NORMAL,
    ) -> AcceptedDataset:
        """Check the spec against itself and the file's first rows, then queue the job.

        Raises:
            NotFoundError: The file is unknown.
            InvalidInputError: The spec is wrong; lists every error.
            AlreadyExistsError: The key was used for another spec.
            UnavailableError: The bus does not answer; nothing was accepted.
        """
        file = await self._files.record(tenant=tenant, file_id=spec.file_id)
        plan = plan_dataset(spec_fields(spec))
        source = await self._files.content(file)
        await asyncio.to_thread(self._check_columns, plan, source, file_format_of(file))
        job = await self._queue.submit(
            kind=DATASET,
            prefix=prefix_of(DATASET),
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=_with_defaults(spec, plan, file),
            priority=priority,
            needs=MachineSize(cpus=1, memory_bytes=LIBRARIES_BYTES + file.size_bytes),
        )
        return AcceptedDataset(job.job_id, dataset_id_of(job.job_id), job.sequence)

    def _check_columns(self, plan: DatasetPlan, source: Path, file_format: FileFormat) -> None:
        limits = ReadLimits(max_row_bytes=self._max_row_bytes, block_rows=PEEK_ROWS)
        with closing(read_blocks(source, file_format, limits)) as blocks:
            rows = (row for block in blocks for row in parse_block(block))
            known = columns_of(islice(rows, PEEK_ROWS))
        # Without one readable row nothing is known about columns; the job will say what is wrong.
        if known:
            check_columns(plan.mapping, known)


def spec_fields(spec: DatasetSpec) -> dict[str, object]:
    """The spec as `plan_dataset` takes it."""
    return MessageToDict(spec, preserving_proto_field_name=True)


def file_format_of(file: FileState) -> FileFormat:
    """The format that the file was stored as.

    Raises:
        InvalidInputError: It is none of ours; the record was not written by this service.
    """
    file_format = format_of(file.filename)
    if file_format is None:
        raise InvalidInputError(f"file {file.file_id} is of no format that we read")
    return file_format


def columns_of(rows: Iterable[SourceRow | RejectedRow]) -> list[str]:
    """The columns that these rows have, in the order of their first appearance."""
    columns: dict[str, None] = {}
    for row in rows:
        if isinstance(row, SourceRow):
            columns.update(dict.fromkeys(row.columns))
    return list(columns)


def _with_defaults(spec: DatasetSpec, plan: DatasetPlan, file: FileState) -> DatasetSpec:
    """The spec as it will be carried out, so that a later default does not change an old job."""
    full = DatasetSpec()
    full.CopyFrom(spec)
    full.name = plan.name or PurePath(file.filename).stem[:MAX_NAME_CHARACTERS]
    shares = plan.shares
    full.shares.CopyFrom(SplitShares(train=shares.train, valid=shares.valid, test=shares.test))
    return full
