"""Use cases that read a dataset: explain a row, compare two datasets, give the report.

A row is explained from source line to place in the dataset. A failed job has a report, too.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelmill.data_prep.v1.data_prep_service_pb2 import DiffDatasetsResponse, RowProvenance
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JobState
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import dataset_id_of
from modelmill_bus.subjects import job_state
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_data_prep.domain.provenance_file import PROVENANCE_FILE
from modelmill_data_prep.file_inspector import FileInspector
from modelmill_data_prep.records import DatasetRecords


class ExplainRow:
    """Looks rows up by the line of the source file."""

    def __init__(self, datasets: DatasetRecords, inspector: FileInspector) -> None:
        self._datasets = datasets
        self._inspector = inspector

    async def __call__(self, *, tenant: str, dataset_id: str, line: int) -> list[RowProvenance]:
        """The row itself, then every row derived from it.

        Raises:
            InvalidInputError: The line is below 1.
            NotFoundError: The dataset is unknown, or no row begins on that line.
            UnavailableError: The bus or the store does not answer.
        """
        if line < 1:
            raise InvalidInputError("line must be at least 1")
        folder = await self._datasets.folder(tenant, dataset_id, needs=PROVENANCE_FILE)
        rows = await self._inspector.provenance(folder, line)
        if not rows:
            raise NotFoundError(
                f"no row of dataset {dataset_id!r} begins on line {line}. Lines are those of the"
                " source file, from 1; a row may be several"
            )
        return [RowProvenance(**row) for row in rows]


DEFAULT_SAMPLES = 10
MAX_SAMPLES = 100


class DiffDatasets:
    """Compares datasets by row content and by spec."""

    def __init__(self, datasets: DatasetRecords, inspector: FileInspector) -> None:
        self._datasets = datasets
        self._inspector = inspector

    async def __call__(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str, samples: int
    ) -> DiffDatasetsResponse:
        """Differences, with sample rows of each kind.

        Raises:
            InvalidInputError: Too many samples.
            NotFoundError: One of them is unknown.
            UnavailableError: The bus or the store does not answer.
        """
        if samples > MAX_SAMPLES:
            raise InvalidInputError(f"samples must be at most {MAX_SAMPLES}")
        ids = (dataset_id, other_dataset_id)
        first, second = [
            await self._datasets.folder(tenant, each, needs=PROVENANCE_FILE) for each in ids
        ]
        found = await self._inspector.compare(first, second, samples or DEFAULT_SAMPLES)
        old, new = [(await self._datasets.manifest(tenant, each)).attributes for each in ids]
        return DiffDatasetsResponse(
            same=old.get("merkle_root") == new.get("merkle_root"),
            **found,
            spec_changes=list(_spec_changes(old.get("spec", {}), new.get("spec", {}))),
        )


def _spec_changes(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _spec_changes(before, after, f"{path}{name}.")
        elif before != after:
            yield f"{path}{name}: {_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


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
            folder = await self._of_failure(tenant, dataset_id, job_id)
        return folder / name

    async def _of_failure(self, tenant: str, dataset_id: str, job_id: str) -> Path:
        stored = await self._bus.last(job_state(job_id), JobState)
        is_own = stored is not None and stored.body.tenant == tenant
        if not stored or not is_own or stored.body.status != JOB_STATUS_FAILED:
            raise NotFoundError(
                f"dataset {dataset_id!r} is not ready: its job has not ended. GET /v1/jobs/{job_id}"
                " tells how far it is"
            )
        failure = stored.body.error
        if not failure.report_digest:
            raise NotFoundError(
                f"dataset {dataset_id!r} has no report: its job failed before its rows were"
                f" looked at ({failure.code}: {failure.message}). GET /v1/jobs/{job_id} says"
                " what to do"
            )
        return await asyncio.to_thread(self._store.materialise, failure.report_digest)
