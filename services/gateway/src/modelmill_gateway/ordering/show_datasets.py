"""Show datasets, ready or in the making."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.kinds import DATASET, dataset_id_of
from modelmill_bus.read_model import FreshLook
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_registry.catalogue import DatasetCatalogue
from modelmill_service_kit.errors import NotFoundError


class ShowDatasets:
    """A dataset that is not ready is shown by the job that makes it."""

    def __init__(self, datasets: DatasetCatalogue, jobs: JobIndex, look: FreshLook) -> None:
        self._datasets = datasets
        self._jobs = jobs
        self._look = look

    def ready(self, tenant: str) -> Sequence[DatasetReady]:
        """The tenant's finished datasets, newest first."""
        return self._datasets.list(tenant)

    async def one(self, tenant: str, dataset_id: str) -> DatasetReady | JobRecord:
        """The dataset, or its job. Raises NotFoundError."""
        return await self._look(lambda: self._one(tenant, dataset_id))

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


class Reports(Protocol):
    """Who made the datasets."""

    def report(
        self, *, tenant: str, dataset_id: str, report_format: str, job_id: str
    ) -> AsyncIterator[bytes]: ...


class ReadReport:
    """Data-prep knows datasets by their ids; which job should have made one, we know."""

    def __init__(self, reports: Reports, datasets: ShowDatasets) -> None:
        self._reports = reports
        self._datasets = datasets

    async def __call__(
        self, *, tenant: str, dataset_id: str, report_format: str
    ) -> AsyncIterator[bytes]:
        """The report's bytes as they come. Raises NotFoundError on the first step."""
        job_id = await self._job_id(tenant, dataset_id)
        chunks = self._reports.report(
            tenant=tenant, dataset_id=dataset_id, report_format=report_format, job_id=job_id
        )
        async for chunk in chunks:
            yield chunk

    async def _job_id(self, tenant: str, dataset_id: str) -> str:
        """Of what is no dataset yet; empty for others."""
        try:
            found = await self._datasets.one(tenant, dataset_id)
        except NotFoundError:
            return ""
        return found.requested.job_id if isinstance(found, JobRecord) else ""
