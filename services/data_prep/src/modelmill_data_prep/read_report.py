"""Use case: read a dataset's report as JSON or HTML, also of a failed job."""

import asyncio
from pathlib import Path
from typing import Protocol

from modelmill.jobs.v1.job_pb2 import JobError
from modelmill_bus.kinds import dataset_id_of
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_data_prep.dataset_folders import DatasetFolders

FILE_OF = {"json": "report.json", "html": "report.html"}
"""Report file by format."""


class Failures(Protocol):
    async def failure(self, tenant: str, job_id: str) -> JobError | None:
        """The error of a tenant's failed job; None if it did not fail.

        Raises:
            UnavailableError: The bus does not answer.
        """
        ...


class ReadReport:
    """Finds the report of a dataset, or of its failed job."""

    def __init__(self, folders: DatasetFolders, store: ArtifactStore, failures: Failures) -> None:
        self._folders = folders
        self._store = store
        self._failures = failures

    async def __call__(
        self, *, tenant: str, dataset_id: str, report_format: str, job_id: str = ""
    ) -> Path:
        """The report's file (read-only).

        Args:
            job_id: Job of the dataset, whose report is returned if it failed.

        Raises:
            InvalidInputError: The format is unknown.
            NotFoundError: The dataset is unknown, or its job failed before it read any row.
            UnavailableError: The bus or the store does not answer.
        """
        name = FILE_OF.get(report_format or "json")
        if name is None:
            raise InvalidInputError(
                f"format must be one of {', '.join(FILE_OF)}, got {report_format[:40]!r}"
            )
        try:
            folder = await self._folders.folder(tenant, dataset_id, needs=name)
        except NotFoundError:
            # The job must belong to this dataset.
            if not job_id or dataset_id_of(job_id) != dataset_id:
                raise
            folder = await self._of_failure(tenant, dataset_id, job_id)
        return folder / name

    async def _of_failure(self, tenant: str, dataset_id: str, job_id: str) -> Path:
        failure = await self._failures.failure(tenant, job_id)
        if failure is None:
            raise NotFoundError(
                f"dataset {dataset_id!r} is not ready: its job has not ended. GET /v1/jobs/{job_id}"
                " tells how far it is"
            )
        if not failure.report_digest:
            raise NotFoundError(
                f"dataset {dataset_id!r} has no report: its job failed before its rows were"
                f" looked at ({failure.code}: {failure.message}). GET /v1/jobs/{job_id} says"
                " what to do"
            )
        return await asyncio.to_thread(self._store.materialise, failure.report_digest)
