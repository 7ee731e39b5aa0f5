"""Datasets of a tenant, ready or in the making: listed, shown, reported on, deleted."""

from collections.abc import AsyncIterator, Sequence

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.kinds import DATASET, dataset_id_of
from modelmill_bus.read_model import FreshLook, until_seen
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_registry.catalogue import DatasetCatalogue
from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ports import DataPrep


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
