"""Datasets of a tenant, ready or in the making: listed, shown, reported on, deleted."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from modelmill.data_prep.v1.data_prep_service_pb2 import (
    CompareDatasetsResponse,
    ListUnsharedRowsResponse,
)
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_CANCELLED, JOB_STATUS_FAILED
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.kinds import DATASET, dataset_id_of
from modelmill_bus.read_model import FreshLook, until_seen
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_registry.catalogue import DatasetCatalogue
from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ports import DataPrep

ENDED = {JOB_STATUS_FAILED: "failed", JOB_STATUS_CANCELLED: "was cancelled"}
UNENDED = "has not ended"


class ManageDatasets:
    """A dataset that is not ready is shown by the job that makes it."""

    def __init__(
        self, datasets: DatasetCatalogue, jobs: JobIndex, look: FreshLook, data_prep: DataPrep
    ) -> None:
        self._datasets = datasets
        self._jobs = jobs
        self._look = look
        self._data_prep = data_prep

    def ready(self, tenant: str) -> Sequence[DatasetReady]:
        """The tenant's finished datasets, newest first."""
        return self._datasets.list(tenant)

    async def one(self, tenant: str, dataset_id: str) -> DatasetReady | JobRecord:
        """The dataset, or its job. Raises NotFoundError."""
        return await self._look(lambda: self._one(tenant, dataset_id))

    async def report(
        self, *, tenant: str, dataset_id: str, report_format: str
    ) -> AsyncIterator[bytes]:
        """The report's bytes as they come. Raises NotFoundError on the first step.

        Data-prep knows datasets by their ids; which job should have made one, we know.
        """
        try:
            found = await self.one(tenant, dataset_id)
        except NotFoundError:
            found = None
        job_id = found.requested.job_id if isinstance(found, JobRecord) else ""
        chunks = self._data_prep.report(
            tenant=tenant, dataset_id=dataset_id, report_format=report_format, job_id=job_id
        )
        async for chunk in chunks:
            yield chunk

    async def compare(
        self, tenant: str, dataset_id: str, other_dataset_id: str
    ) -> CompareDatasetsResponse:
        """Two datasets side by side.

        Raises:
            InvalidInputError: both are the same.
            NotFoundError: one of them is unknown, or not ready.
        """
        with self._told_by_jobs(tenant, dataset_id, other_dataset_id):
            return await self._data_prep.compare_datasets(
                tenant=tenant, dataset_id=dataset_id, other_dataset_id=other_dataset_id
            )

    async def unshared_rows(
        self, tenant: str, dataset_id: str, other_dataset_id: str, *, after: int, limit: int
    ) -> ListUnsharedRowsResponse:
        """Rows of a dataset that another does not have; raises as `compare`."""
        with self._told_by_jobs(tenant, dataset_id, other_dataset_id):
            return await self._data_prep.list_unshared_rows(
                tenant=tenant,
                dataset_id=dataset_id,
                other_dataset_id=other_dataset_id,
                after=after,
                limit=limit,
            )

    async def delete(self, dataset_id: str, caller: Caller) -> None:
        """Delete it; models that were trained on it stay.

        Raises:
            NotFoundError: unknown, not ready, deleted, or another tenant's.
            PreconditionError: jobs that have not ended need it; the message names them.
            UnavailableError: data-prep or the bus does not answer.
        """
        sequence = await self._data_prep.delete_dataset(
            tenant=caller.tenant, dataset_id=dataset_id, requested_by=caller.subject
        )
        await until_seen(self._datasets, sequence)

    @contextmanager
    def _told_by_jobs(self, tenant: str, *dataset_ids: str) -> Iterator[None]:
        """What data-prep does not know may be in the making: its job says so."""
        try:
            yield
        except NotFoundError:
            for each in dataset_ids:
                job = self._unready(tenant, each)
                if job is not None:
                    came_to = ENDED.get(job.state.status, UNENDED)
                    raise NotFoundError(
                        f"dataset {each!r} is not ready: its job {came_to}. GET"
                        f" /v1/jobs/{job.requested.job_id} tells more"
                    ) from None
            raise

    def _unready(self, tenant: str, dataset_id: str) -> JobRecord | None:
        """The job of a dataset that is not ready."""
        try:
            found = self._one(tenant, dataset_id)
        except NotFoundError:
            return None
        return found if isinstance(found, JobRecord) else None

    def _one(self, tenant: str, dataset_id: str) -> DatasetReady | JobRecord:
        try:
            return self._datasets.get(tenant, dataset_id)
        except NotFoundError:
            if self._datasets.has_retired(tenant, dataset_id):
                raise
            for job in self._jobs.list(tenant, DATASET):
                if dataset_id_of(job.requested.job_id) == dataset_id:
                    return job
            raise
