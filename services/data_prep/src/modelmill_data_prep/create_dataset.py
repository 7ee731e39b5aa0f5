"""Use case: a desired state for a dataset to an accepted job, with everything wrong said at
once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec, ReadingSpec, SplitShares
from modelmill.jobs.v1.job_pb2 import JOB_PRIORITY_NORMAL, JobPriority
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_bus.kinds import DATASET, dataset_id_of, prefix_of
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.base_tokens import BaseTokens
from modelmill_data_prep.domain.dataset_plan import (
    MAX_NAME_CHARACTERS,
    DatasetPlan,
    plan_dataset,
)
from modelmill_data_prep.domain.needs import dataset_needs, dataset_seconds
from modelmill_data_prep.domain.reading.file_formats import FileFormat, format_of


class Files(Protocol):
    async def record(
        self, *, tenant: str, file_id: str, include_deleted: bool = False
    ) -> FileState:
        """Raises NotFoundError, naming the file."""
        ...

    async def content(self, file: FileState) -> Path:
        """A local copy of the file's bytes."""
        ...


class SpecLooks(Protocol):
    async def spec(
        self, path: Path, file_format: str, *, spec: Mapping[str, Any], max_row_bytes: int
    ) -> Mapping[str, str]:
        """Refuse a spec that does not fit the file's first rows.

        Returns:
            How the file is read, as fields of `ReadingSpec`.

        Raises:
            InvalidInputError: It names a column that none has, or the file is not of its format.
        """
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
        why_no_models: Where no model can be asked: why, and what to do about it.
        processes: Of a job, beside its own; see `dataset_needs`.
    """

    def __init__(
        self,
        files: Files,
        looks: SpecLooks,
        base_tokens: BaseTokens,
        queue: JobQueue,
        *,
        max_row_bytes: int,
        why_no_models: str = "",
        processes: int,
    ) -> None:
        self._why_no_models = why_no_models
        self._files = files
        self._base_tokens = base_tokens
        self._looks = looks
        self._queue = queue
        self._max_row_bytes = max_row_bytes
        self._processes = processes

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
            NotFoundError: A file or the base model is unknown.
            InvalidInputError: The spec is wrong; lists every error.
            AlreadyExistsError: The key was used for another spec.
            UnavailableError: The bus does not answer; nothing was accepted.
        """
        file = await self._files.record(tenant=tenant, file_id=spec.file_id)
        fields = spec_fields(spec)
        plan = plan_dataset(fields, why_no_models=self._why_no_models)
        size_bytes = file.size_bytes + await self._check_names(tenant, spec)
        reading = await self._looks.spec(
            await self._files.content(file),
            file_format_of(file),
            spec=fields,
            max_row_bytes=self._max_row_bytes,
        )
        job = await self._queue.submit(
            kind=DATASET,
            prefix=prefix_of(DATASET),
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=_with_defaults(spec, plan, file, reading),
            priority=priority,
            needs=dataset_needs(plan, self._processes),
            expected_seconds=dataset_seconds(plan, size_bytes),
        )
        return AcceptedDataset(job.job_id, dataset_id_of(job.job_id), job.sequence)

    async def _check_names(self, tenant: str, spec: DatasetSpec) -> int:
        """Refuse a spec that names another file or a model that the tenant does not have.

        Returns:
            Bytes of the files with evaluation rows.
        """
        named = spec.duplicates.evaluation_file_ids
        files = [await self._files.record(tenant=tenant, file_id=each) for each in named]
        await self._base_tokens.base(tenant, spec.tokenize)
        return sum(each.size_bytes for each in files)


def spec_fields(spec: DatasetSpec) -> dict[str, Any]:
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


def _with_defaults(
    spec: DatasetSpec, plan: DatasetPlan, file: FileState, reading: Mapping[str, str]
) -> DatasetSpec:
    """The spec as it will be carried out, so that a later default does not change an old job."""
    full = DatasetSpec()
    full.CopyFrom(spec)
    full.name = plan.name or PurePath(file.filename).stem[:MAX_NAME_CHARACTERS]
    shares = plan.shares
    full.shares.CopyFrom(SplitShares(train=shares.train, valid=shares.valid, test=shares.test))
    full.reading.CopyFrom(ReadingSpec(**reading))
    return full
