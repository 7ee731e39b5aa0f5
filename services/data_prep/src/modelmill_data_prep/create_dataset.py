"""Use case: validate a dataset spec against its file and queue a job of kind dataset."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from google.protobuf.json_format import MessageToDict
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec, ReadingSpec, SplitShares
from modelmill.jobs.v1.job_pb2 import JOB_PRIORITY_NORMAL, JobPriority
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_bus.kinds import DATASET, dataset_id_of, prefix_of
from modelmill_documents.document_format import is_document_format
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.dataset_plan import (
    MAX_NAME_CHARACTERS,
    DatasetPlan,
    plan_dataset,
)
from modelmill_data_prep.domain.reading.named_errors import named
from modelmill_data_prep.domain.resource_estimate import dataset_needs, dataset_seconds
from modelmill_data_prep.domain.row_numbers import MAX_FILES
from modelmill_data_prep.file_inspector import FileInspector
from modelmill_data_prep.records import BaseTokens, FileRecords, file_format_of


@dataclass(frozen=True)
class AcceptedDataset:
    job_id: str
    dataset_id: str
    sequence: int
    """Sequence of the request in stream JOBS."""


class CreateDataset:
    """Validates the whole spec and reports every error at once.

    Args:
        max_row_bytes: Same value as in the job, so that both see the same rows.
        models_unavailable: Error message if no inference is configured; else empty.
        processes: Worker processes of a job, see `dataset_needs`.
        check_pipelines: Raises InvalidInputError for spaCy pipelines that workers do not have;
            None where that is not known here.
    """

    def __init__(
        self,
        files: FileRecords,
        inspector: FileInspector,
        base_tokens: BaseTokens,
        queue: JobQueue,
        *,
        max_row_bytes: int,
        models_unavailable: str = "",
        processes: int,
        check_pipelines: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        self._check_pipelines = check_pipelines
        self._models_unavailable = models_unavailable
        self._files = files
        self._base_tokens = base_tokens
        self._inspector = inspector
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
        """Validate the spec and its fit to the file's first rows, and queue the job.

        Raises:
            NotFoundError: A file or the base model is unknown.
            InvalidInputError: The spec is wrong; lists every error.
            AlreadyExistsError: The key was used for another spec.
            UnavailableError: The bus does not answer. Nothing was accepted.
        """
        files = [await self._files.get(tenant, each) for each in source_file_ids(spec)]
        plan = plan_dataset(spec_fields(spec), models_unavailable=self._models_unavailable)
        if self._check_pipelines is not None:
            self._check_pipelines(plan.entities.spacy_models)
        size_bytes = sum(each.size_bytes for each in files)
        size_bytes += await self._check_names(tenant, spec)
        reading = await self._check_reading(files, spec)
        has_documents = any(is_document_format(file_format_of(each)) for each in files)
        job = await self._queue.submit(
            kind=DATASET,
            prefix=prefix_of(DATASET),
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=_with_defaults(spec, plan, files[0], reading),
            priority=priority,
            needs=dataset_needs(plan, self._processes, has_documents=has_documents),
            expected_seconds=dataset_seconds(plan, size_bytes),
        )
        return AcceptedDataset(job.job_id, dataset_id_of(job.job_id), job.sequence)

    async def _check_reading(
        self, files: Sequence[FileState], spec: DatasetSpec
    ) -> Mapping[str, Any] | None:
        """Check that the files have the columns that the spec reads.

        Returns:
            How a single file is read; None for several, which may be read differently.
        """
        for file in files:
            with named(file.filename if len(files) > 1 else ""):
                reading = await self._inspector.check_spec(
                    await self._files.content(file),
                    file_format_of(file),
                    spec=spec_fields(spec),
                    max_row_bytes=self._max_row_bytes,
                )
        return reading if len(files) == 1 else None

    async def _check_names(self, tenant: str, spec: DatasetSpec) -> int:
        """Check that the tenant has all evaluation files and the base model.

        Returns:
            Total bytes of the evaluation files.
        """
        named = spec.duplicates.evaluation_file_ids
        files = [await self._files.get(tenant, each) for each in named]
        await self._base_tokens.base(tenant, spec.tokenize)
        return sum(each.size_bytes for each in files)


def source_file_ids(spec: DatasetSpec) -> list[str]:
    """The files to read, in order.

    Raises:
        InvalidInputError: None is named, both ways are used, one is named twice, or they are many.
    """
    if bool(spec.file_id) == bool(spec.file_ids):
        raise InvalidInputError("give either file_id, or file_ids for several files")
    ids = list(spec.file_ids) or [spec.file_id]
    if len(ids) > MAX_FILES:
        raise InvalidInputError(f"file_ids names {len(ids)} files; at most {MAX_FILES} are read")
    twice = [each for each, count in Counter(ids).items() if count > 1]
    if twice:
        raise InvalidInputError([f"file_ids names {each[:64]!r} more than once" for each in twice])
    return ids


def spec_fields(spec: DatasetSpec) -> dict[str, Any]:
    """The spec as a mapping, as `plan_dataset` expects it."""
    return MessageToDict(spec, preserving_proto_field_name=True)


def _with_defaults(
    spec: DatasetSpec, plan: DatasetPlan, file: FileState, reading: Mapping[str, Any] | None
) -> DatasetSpec:
    """The spec with defaults filled in, so that later releases do not change an accepted job."""
    full = DatasetSpec()
    full.CopyFrom(spec)
    full.name = plan.name or PurePath(file.filename).stem[:MAX_NAME_CHARACTERS]
    shares = plan.shares
    full.shares.CopyFrom(SplitShares(train=shares.train, valid=shares.valid, test=shares.test))
    if reading is not None:
        full.reading.CopyFrom(ReadingSpec(**reading))
    return full
