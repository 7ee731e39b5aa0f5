"""Use case: a file is taken out of use; datasets made from it stay."""

from typing import Protocol


class FileRecords(Protocol):
    async def delete(self, tenant: str, file_id: str) -> int:
        """Sequence of the record that says so.

        Raises:
            NotFoundError: Unknown, deleted, or not the tenant's own.
            UnavailableError: The bus does not answer.
        """
        ...


class DeleteFile:
    def __init__(self, records: FileRecords) -> None:
        self._records = records

    async def __call__(self, *, tenant: str, file_id: str) -> int:
        """Durable on return; raises as `FileRecords.delete` does.

        The bytes stay in the store: datasets name them as what they were made from.
        """
        return await self._records.delete(tenant, file_id)
