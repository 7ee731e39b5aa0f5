"""Use case: read records and contents of a tenant's files."""

import asyncio
from pathlib import Path
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_registry.store import ArtifactStore

from modelmill_data_prep.store_file import CONTENT


class FileRecords(Protocol):
    async def get(self, tenant: str, file_id: str, *, include_deleted: bool = False) -> FileState:
        """The record of a file.

        Raises:
            NotFoundError: It is unknown, deleted, or another tenant's.
            UnavailableError: The bus does not answer.
        """
        ...

    async def list(self, tenant: str) -> list[FileState]:
        """The tenant's files, newest first."""
        ...


class ReadFile:
    def __init__(self, store: ArtifactStore, records: FileRecords) -> None:
        self._store = store
        self._records = records

    async def record(
        self, *, tenant: str, file_id: str, include_deleted: bool = False
    ) -> FileState:
        """A file's record; raises as `FileRecords.get`."""
        return await self._records.get(tenant, file_id, include_deleted=include_deleted)

    async def records(self, *, tenant: str) -> list[FileState]:
        """The tenant's files, newest first."""
        return await self._records.list(tenant)

    async def content(self, file: FileState) -> Path:
        """Verified, read-only local copy of the file."""
        folder = await asyncio.to_thread(self._store.materialise, file.digest)
        return folder / CONTENT
