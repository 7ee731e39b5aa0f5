"""Files, datasets and base models of tenants: records on the bus, contents in the store."""

import asyncio
from pathlib import Path
from typing import Any

from modelmill.data_prep.v1.data_prep_service_pb2 import TokenizeSpec
from modelmill.registry.v1.model_events_pb2 import (
    DatasetReady,
    DatasetRetired,
    FileState,
    ModelReady,
)
from modelmill_bus.bus import Bus, StaleWriteError, Stored
from modelmill_bus.read_model import until_seen, visible_to
from modelmill_bus.subjects import DATASET_READY, DATASET_RETIRED, MODEL_READY, TOKEN, file_state
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.catalogue import FILES, DatasetCatalogue, FileCatalogue, ModelCatalogue
from modelmill_registry.manifest import Manifest
from modelmill_service_kit.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import no_such

from modelmill_data_prep.domain.reading.file_form import FileFormat, format_of
from modelmill_data_prep.domain.tokens.token_plan import DEFAULT_PACK_TOKENS

CONTENT = "content"
"""File name inside the artifact; a caller's file name is never used as a path."""


class FileRecords:
    """Writes and reads single records on the stream; lists come from the read model."""

    def __init__(self, bus: Bus, catalogue: FileCatalogue, store: ArtifactStore) -> None:
        self._bus = bus
        self._catalogue = catalogue
        self._store = store

    async def create(self, file: FileState) -> None:
        """Create a record. On return it is durable, and this process lists it.

        Raises:
            AlreadyExistsError: The id exists, or existed and was deleted.
            UnavailableError: The bus does not answer. The record may still appear later.
        """
        try:
            await self._write(file, expect_last=0)
        except StaleWriteError:
            raise AlreadyExistsError(f"there is a file {file.file_id!r}") from None

    async def delete(self, tenant: str, file_id: str) -> int:
        """Mark the tenant's file as deleted, permanently; returns the stream sequence.

        Raises:
            NotFoundError: It is unknown, deleted, or another tenant's.
            UnavailableError: The bus does not answer. Retry.
        """
        while True:
            stored = await self._stored(tenant, file_id)
            if stored.body.tenant != tenant:
                raise no_such("file of your own", file_id, FILES)
            file = FileState()
            file.CopyFrom(stored.body)
            file.deleted = True
            try:
                return await self._write(file, expect_last=stored.sequence)
            except StaleWriteError:
                continue  # changed concurrently: read again

    async def get(self, tenant: str, file_id: str) -> FileState:
        """The newest record of a file that the tenant may use.

        Raises:
            NotFoundError: It is unknown, deleted, or another tenant's.
            UnavailableError: The bus does not answer.
        """
        return (await self._stored(tenant, file_id)).body

    async def list(self, tenant: str) -> list[FileState]:
        """Files that the tenant may use, newest first."""
        await self._catalogue.ready.wait()
        return self._catalogue.list(tenant)

    async def content(self, file: FileState) -> Path:
        """Verified, read-only local copy of the file."""
        folder = await asyncio.to_thread(self._store.materialise, file.digest)
        return folder / CONTENT

    async def _stored(self, tenant: str, file_id: str) -> Stored[FileState]:
        # A malformed id must not become part of a subject.
        if TOKEN.fullmatch(file_id):
            stored = await self._bus.last(file_state(file_id), FileState)
            is_there = stored is not None and not stored.body.deleted
            if stored and is_there and visible_to(tenant, stored.body.tenant):
                return stored
        raise self._catalogue.missing(tenant, file_id)

    async def _write(self, file: FileState, *, expect_last: int) -> int:
        sequence = await self._bus.publish(file_state(file.file_id), file, expect_last=expect_last)
        await until_seen(self._catalogue, sequence)
        return sequence


def file_format_of(file: FileState) -> FileFormat:
    """The format that the file was stored as.

    Raises:
        InvalidInputError: The format is unknown; another release wrote the record.
    """
    file_format = format_of(file.filename)
    if file_format is None:
        raise InvalidInputError(f"file {file.file_id} has an unknown format. Upload it again")
    return file_format


class DatasetRecords:
    """Looks up datasets and their files, and publishes their retirement."""

    def __init__(self, bus: Bus, catalogue: DatasetCatalogue, store: ArtifactStore) -> None:
        self._bus = bus
        self._catalogue = catalogue
        self._store = store

    async def get(self, tenant: str, dataset_id: str) -> DatasetReady:
        """A dataset that the tenant may use.

        Raises:
            NotFoundError: It is unknown, retired, or another tenant's.
            UnavailableError: The bus does not answer.
        """
        return await self._catalogue.look(
            lambda: self._catalogue.get(tenant, dataset_id), DATASET_READY
        )

    async def retire(self, retired: DatasetRetired) -> int:
        """Publish a retirement. On return it is durable, and this process has read it.

        Raises:
            UnavailableError: The bus does not answer. Retry.
        """
        sequence = await self._bus.publish(
            DATASET_RETIRED, retired, msg_id=f"{retired.dataset_id}-retired"
        )
        await until_seen(self._catalogue, sequence)
        return sequence

    async def folder(self, tenant: str, dataset_id: str, *, needs: str) -> Path:
        """Verified, read-only local folder of a dataset.

        Args:
            needs: Name of a required file.

        Raises:
            NotFoundError: As `get`, or an older release made the dataset without the file.
        """
        dataset = await self.get(tenant, dataset_id)
        folder = await asyncio.to_thread(self._store.materialise, dataset.digest)
        if not (folder / needs).is_file():
            raise NotFoundError(f"dataset {dataset_id!r} has no {needs}. Make it again")
        return folder

    async def manifest(self, tenant: str, dataset_id: str) -> Manifest:
        """The dataset's manifest; raises as `get`."""
        dataset = await self.get(tenant, dataset_id)
        return await asyncio.to_thread(self._store.manifest, dataset.digest)


class BaseTokens:
    """Looks up base models whose tokenizers encode datasets, and materialises their files."""

    def __init__(self, catalogue: ModelCatalogue, store: ArtifactStore) -> None:
        self._catalogue = catalogue
        self._store = store

    async def base(self, tenant: str, spec: TokenizeSpec) -> ModelReady | None:
        """The base model of a spec; None if it names none.

        Raises:
            NotFoundError: It is unknown, retired, or another tenant's.
            UnavailableError: The bus does not answer.
        """
        if not spec.model:
            return None
        return await self._catalogue.look(
            lambda: self._catalogue.get(tenant, spec.model), MODEL_READY
        )

    async def located(self, base: ModelReady, spec: TokenizeSpec) -> dict[str, Any]:
        """Tokenizer configuration for the child process, as JSON with a local folder.

        Raises:
            NotFoundError, CorruptArtifactError: The model's files are missing or corrupt.
        """
        folder = await asyncio.to_thread(self._store.materialise, base.digest)
        max_tokens = spec.max_tokens or base.context_tokens
        return {
            "model": base.version_id,
            "folder": str(folder),
            "max_tokens": max_tokens,
            "pack_tokens": max(spec.pack_tokens or DEFAULT_PACK_TOKENS, 1),
        }
