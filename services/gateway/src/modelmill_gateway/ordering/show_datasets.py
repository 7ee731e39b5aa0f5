"""Show datasets, ready or in the making."""

from collections.abc import Sequence
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.kinds import DATASET, dataset_id_of
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.routing.find_model import FreshLook


class DatasetList(Protocol):
    """Datasets that are ready."""

    def get(self, tenant: str, dataset_id: str) -> DatasetReady: ...
    def has_retired(self, tenant: str, dataset_id: str) -> bool: ...
    def list(self, tenant: str) -> Sequence[DatasetReady]: ...


class JobList(Protocol):
    """The list of jobs, newest first."""

    def list(self, tenant: str, kind: str | None = None) -> Sequence[JobRecord]: ...


class ShowDatasets:
    """A dataset that is not ready is shown by the job that makes it."""

    def __init__(self, datasets: DatasetList, jobs: JobList, look: FreshLook) -> None:
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
