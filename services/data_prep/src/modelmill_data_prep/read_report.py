"""Use case: a dataset's report, as data or as a page, also where no dataset could be made."""

import asyncio
from pathlib import Path
from typing import Protocol

from modelmill.jobs.v1.job_pb2 import JobError
from modelmill_bus.kinds import dataset_id_of
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_data_prep.dataset_folders import DatasetFolders

FILE_OF = {"json": "report.json", "html": "report.html"}
"""By format, the file of the dataset that has it."""


class Failures(Protocol):
    async def failure(self, tenant: str, job_id: str) -> JobError | None:
        """Why a job of the tenant's failed; None for one that did not.

        Raises:
            UnavailableError: The bus does not answer.
        """
        ...


class ReadReport:
    """Finds reports."""

    def __init__(self, folders: DatasetFolders, store: ArtifactStore, failures: Failures) -> None:
        self._folders = folders
        self._store = store
        self._failures = failures

    async def __call__(
        self, *, tenant: str, dataset_id: str, report_format: str, job_id: str = ""
    ) -> Path:
        """The report's file, not to be changed.

        Args:
            job_id: Of the job that was to make the dataset; its report is given when it failed.

        Raises:
            InvalidInputError: There is no such format.
            NotFoundError: No such dataset, or a failed one whose rows were never looked at.
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
            # Who names a job must name the one of this dataset.
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
