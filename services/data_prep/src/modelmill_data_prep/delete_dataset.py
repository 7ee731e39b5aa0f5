"""Use cases: a dataset or a file is taken out of use; datasets made from a file stay."""

from collections.abc import Collection
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import DatasetReady, DatasetRetired, FileState
from modelmill_registry.catalogue import DATASETS, FILES
from modelmill_service_kit.nearest import no_such


class Datasets(Protocol):
    async def get(self, tenant: str, dataset_id: str) -> DatasetReady:
        """Raises NotFoundError and UnavailableError."""
        ...

    async def retire(self, retired: DatasetRetired) -> int:
        """Sequence of the announcement. Raises UnavailableError."""
        ...


class Jobs(Protocol):
    """See `modelmill_job_index.unfinished.UnfinishedJobs`."""

    async def refuse_use(self, tenant: str, what: str, ids: Collection[str]) -> None:
        """Raises PreconditionError, which names the jobs, and UnavailableError."""
        ...


class DeleteDataset:
    """A job that is accepted between the look at the jobs and the announcement still runs.

    Nothing is taken from the store, and jobs find what they were accepted with.
    """

    def __init__(self, datasets: Datasets, jobs: Jobs) -> None:
        self._datasets = datasets
        self._jobs = jobs

    async def __call__(self, *, tenant: str, dataset_id: str, requested_by: str) -> int:
        """Announce it once, and return the announcement's sequence.

        Raises:
            NotFoundError: Unknown, retired, or not the tenant's own.
            PreconditionError: Jobs that have not ended need it.
            UnavailableError: The bus does not answer.
        """
        dataset = await self._datasets.get(tenant, dataset_id)
        if dataset.tenant != tenant:
            # Shared: everybody sees it, and only its owner may take it away.
            raise no_such("dataset of your own", dataset_id, DATASETS)
        await self._jobs.refuse_use(tenant, f"dataset {dataset_id!r}", [dataset_id])
        reason = f"deleted by {requested_by}"
        retired = DatasetRetired(dataset_id=dataset_id, tenant=tenant, reason=reason)
        return await self._datasets.retire(retired)


class FileRecords(Protocol):
    async def get(self, tenant: str, file_id: str) -> FileState:
        """Raises NotFoundError and UnavailableError."""
        ...

    async def delete(self, tenant: str, file_id: str) -> int:
        """Sequence of the record that says so.

        Raises:
            NotFoundError: Unknown, deleted, or not the tenant's own.
            UnavailableError: The bus does not answer.
        """
        ...


class DeleteFile:
    """As with datasets, a job that is accepted at this very moment still runs."""

    def __init__(self, records: FileRecords, jobs: Jobs) -> None:
        self._records = records
        self._jobs = jobs

    async def __call__(self, *, tenant: str, file_id: str) -> int:
        """Durable on return.

        The bytes stay in the store: datasets name them as what they were made from.

        Raises:
            NotFoundError: Unknown, deleted, or not the tenant's own.
            PreconditionError: Jobs that have not ended need it.
            UnavailableError: The bus does not answer.
        """
        file = await self._records.get(tenant, file_id)
        if file.tenant != tenant:
            raise no_such("file of your own", file_id, FILES)
        await self._jobs.refuse_use(tenant, f"file {file_id!r}", [file_id])
        return await self._records.delete(tenant, file_id)
