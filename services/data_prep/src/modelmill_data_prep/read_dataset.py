"""Use cases that read a dataset: explain a row, give the report.

A row is explained from source line to place in the dataset. A failed job has a report, too.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from modelmill.data_prep.v1.data_prep_service_pb2 import RowProvenance
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_SUCCEEDED, JobState
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import dataset_id_of
from modelmill_bus.subjects import job_state
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import did_you_mean

from modelmill_data_prep.domain.provenance_file import PROVENANCE_FILE
from modelmill_data_prep.domain.row_numbers import FILE_STEP, file_and_line, row_words
from modelmill_data_prep.file_inspector import FileInspector
from modelmill_data_prep.records import DatasetRecords

LISTED_FILES = 20


class ExplainRow:
    """Looks rows up by the line of the source file."""

    def __init__(self, datasets: DatasetRecords, inspector: FileInspector) -> None:
        self._datasets = datasets
        self._inspector = inspector

    async def __call__(
        self, *, tenant: str, dataset_id: str, line: int, file_id: str = ""
    ) -> list[RowProvenance]:
        """The row itself, then every row derived from it.

        Args:
            line: Line of the source file; or a row's number, which says the file, too.
            file_id: File of the line, in a dataset of several.

        Raises:
            InvalidInputError: The line is below 1, or its file is not said.
            NotFoundError: The dataset is unknown, or no row begins on that line.
            UnavailableError: The bus or the store does not answer.
        """
        if line < 1:
            raise InvalidInputError("line must be at least 1")
        folder = await self._datasets.folder(tenant, dataset_id, needs=PROVENANCE_FILE)
        spec = (await self._datasets.manifest(tenant, dataset_id)).attributes.get("spec", {})
        files = spec.get("file_ids") or [spec.get("file_id", "")]
        number = _row_number(line, file_id, files)
        rows = await self._inspector.provenance(folder, number)
        if not rows:
            raise NotFoundError(
                f"no row of dataset {dataset_id!r} begins on {row_words(number)}. Lines are those"
                " of the source file, from 1; a row may be several"
            )
        file, line = file_and_line(number)
        whence = {"line": line, "file_id": files[max(file - 1, 0)]}
        return [RowProvenance(**(row | whence)) for row in rows]


def _row_number(line: int, file_id: str, files: Sequence[str]) -> int:
    """Of a line of one of a dataset's files.

    Raises:
        InvalidInputError: There are several, and it is not said which; or that is none of them.
    """
    if file_id and file_id not in files:
        raise InvalidInputError(
            f"file_id {file_id[:64]!r} is no file of the dataset.{did_you_mean(file_id, files)}"
            f" Its files are {', '.join(files[:LISTED_FILES])}"
        )
    file, own_line = file_and_line(line)
    if len(files) == 1:
        return line
    if file_id:
        return (files.index(file_id) + 1) * FILE_STEP + own_line
    if not 1 <= file <= len(files):
        raise InvalidInputError(
            f"the dataset is made of {len(files)} files. Name the file of line {own_line} by"
            f" file_id, or give the row's number: in the first file it is {FILE_STEP + line}"
        )
    return line


FILE_OF = {"json": "report.json", "html": "report.html"}
"""Report file by format."""


class ReadReport:
    """Finds the report of a dataset, or of its failed job."""

    def __init__(self, datasets: DatasetRecords, store: ArtifactStore, bus: Bus) -> None:
        self._datasets = datasets
        self._store = store
        self._bus = bus

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
            folder = await self._datasets.folder(tenant, dataset_id, needs=name)
        except NotFoundError:
            # The job must belong to this dataset.
            if not job_id or dataset_id_of(job_id) != dataset_id:
                raise
            failed = await self._of_failure(tenant, dataset_id, job_id)
            if failed is None:
                raise
            folder = failed
        return folder / name

    async def _of_failure(self, tenant: str, dataset_id: str, job_id: str) -> Path | None:
        """None for a job that succeeded: its dataset is retired, or about to be announced."""
        stored = await self._bus.last(job_state(job_id), JobState)
        is_own = stored is not None and stored.body.tenant == tenant
        if stored and is_own and stored.body.status == JOB_STATUS_SUCCEEDED:
            return None
        if not stored or not is_own or stored.body.status != JOB_STATUS_FAILED:
            raise NotFoundError(
                f"dataset {dataset_id!r} is not ready: its job has not ended. GET /v1/jobs/{job_id}"
                " shows its progress"
            )
        failure = stored.body.error
        if not failure.report_digest:
            raise NotFoundError(
                f"dataset {dataset_id!r} has no report: its job failed before its rows were"
                f" looked at ({failure.code}: {failure.message}). GET /v1/jobs/{job_id} says"
                " what to do"
            )
        return await asyncio.to_thread(self._store.materialise, failure.report_digest)
