"""Use case: a file is taken out of use; datasets made from it stay."""

from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_registry.catalogue import FILES
from modelmill_service_kit.nearest import no_such

from modelmill_data_prep.delete_dataset import Jobs


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
