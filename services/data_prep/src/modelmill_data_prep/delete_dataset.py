"""Use cases: delete a dataset, and delete a file. `EraseDeleted` erases their bytes."""

from modelmill.registry.v1.model_events_pb2 import DatasetRetired
from modelmill_job_index.unfinished import UnfinishedJobs
from modelmill_registry.catalogue import DATASETS, FILES
from modelmill_service_kit.nearest import no_such

from modelmill_data_prep.records import DatasetRecords, FileRecords


class DeleteDataset:
    """Deletes datasets; a job accepted between the check and the announcement fails."""

    def __init__(self, datasets: DatasetRecords, jobs: UnfinishedJobs) -> None:
        self._datasets = datasets
        self._jobs = jobs

    async def __call__(self, *, tenant: str, dataset_id: str, requested_by: str) -> int:
        """Announce that it is retired; returns the sequence of the announcement.

        Raises:
            NotFoundError: It is unknown, retired, or another tenant's.
            PreconditionError: Unfinished jobs need it.
            UnavailableError: The bus does not answer.
        """
        dataset = await self._datasets.get(tenant, dataset_id)
        if dataset.tenant != tenant:
            # A shared dataset: visible to all, but only its owner may retire it.
            raise no_such("dataset of your own", dataset_id, DATASETS)
        await self._jobs.refuse_use(tenant, f"dataset {dataset_id!r}", [dataset_id])
        reason = f"deleted by {requested_by}"
        retired = DatasetRetired(dataset_id=dataset_id, tenant=tenant, reason=reason)
        return await self._datasets.retire(retired)


class DeleteFile:
    """Deletes files; a job accepted between the check and the record fails."""

    def __init__(self, files: FileRecords, jobs: UnfinishedJobs) -> None:
        self._files = files
        self._jobs = jobs

    async def __call__(self, *, tenant: str, file_id: str) -> int:
        """Mark the file as deleted; durable on return.

        Raises:
            NotFoundError: It is unknown, deleted, or another tenant's.
            PreconditionError: Unfinished jobs need it.
            UnavailableError: The bus does not answer.
        """
        file = await self._files.get(tenant, file_id)
        if file.tenant != tenant:
            raise no_such("file of your own", file_id, FILES)
        await self._jobs.refuse_use(tenant, f"file {file_id!r}", [file_id])
        return await self._files.delete(tenant, file_id)
