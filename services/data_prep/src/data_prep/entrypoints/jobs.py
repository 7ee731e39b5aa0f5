"""Jobs of kind dataset: unpack, run the child, file what it made."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from jobs.active import ActiveJob
from jobs.subjects import DATASET_READY
from jobs.worker import JobFailed
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill.registry.v1.model_events_pb2 import DatasetReady, FileState
from registry.manifest import Manifest
from registry.store import ArtifactStore
from service_kit.errors import NotFoundError

from data_prep.create_dataset import KIND, dataset_id_of, file_format_of, spec_fields
from data_prep.measures import count_rows

CHILD = "data_prep.child"


class Files(Protocol):
    async def record(self, *, tenant: str, file_id: str) -> FileState:
        """Raises NotFoundError, naming the file."""
        ...

    async def content(self, file: FileState) -> Path:
        """A local copy of the file's bytes."""
        ...


class DatasetJobHandler:
    """Makes datasets. Idempotent: the same job gives the same dataset id and the same bytes."""

    kind = KIND

    def __init__(self, files: Files, store: ArtifactStore, *, max_row_bytes: int) -> None:
        self._files = files
        self._store = store
        self._max_row_bytes = max_row_bytes

    async def is_ready(self, request: JobRequested) -> bool:
        """A file is whole before its id is known, so there is nothing to wait for."""
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        spec = job.spec(DatasetSpec)
        try:
            file = await self._files.record(tenant=job.tenant, file_id=spec.file_id)
        except NotFoundError as error:
            raise JobFailed("FILE_GONE", error.message, "Upload the file again.") from error
        folder = job.folder / "dataset"
        made = await job.run_child(
            CHILD,
            {
                "source": str(await self._files.content(file)),
                "format": file_format_of(file),
                "spec": spec_fields(spec),
                "folder": str(folder),
                "max_row_bytes": self._max_row_bytes,
            },
        )
        manifest = await asyncio.to_thread(
            self._store.commit,
            folder,
            kind="dataset",
            form="chat-jsonl",
            made_from={"file": file.digest},
            attributes=_attributes(made, spec),
        )
        count_rows(made["counts"])
        return _result(job, spec, manifest, made["counts"])


def _attributes(made: Mapping[str, Any], spec: DatasetSpec) -> dict[str, Any]:
    attributes = {"counts": made["counts"], "mapping": spec_fields(spec)["mapping"]}
    if made["choices"] is not None:
        attributes["choices"] = made["choices"]
    return attributes


def _result(
    job: ActiveJob, spec: DatasetSpec, manifest: Manifest, counts: Mapping[str, int]
) -> JobResult:
    now = Timestamp()
    now.GetCurrentTime()
    ready = DatasetReady(
        dataset_id=dataset_id_of(job.job_id),
        tenant=job.tenant,
        name=spec.name,
        digest=manifest.digest,
        file_id=spec.file_id,
        job_id=job.job_id,
        counts=counts,
        created_at=now,
    )
    announcement = ParseDict(MessageToDict(ready), Struct())
    return JobResult(
        digest=manifest.digest,
        version_id=ready.dataset_id,
        announce_subject=DATASET_READY,
        announcement=announcement,
        summary=ParseDict(dict(counts), Struct()),
    )
