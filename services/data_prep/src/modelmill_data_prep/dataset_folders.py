"""The files of a dataset, for the use cases that look into one."""

import asyncio
from pathlib import Path
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.manifest import Manifest
from modelmill_service_kit.errors import NotFoundError


class Datasets(Protocol):
    async def get(self, tenant: str, dataset_id: str) -> DatasetReady:
        """A dataset that the tenant may use.

        Raises:
            NotFoundError: There is none, it is another tenant's, or it is retired.
            UnavailableError: The bus does not answer.
        """
        ...


class DatasetFolders:
    """Finds datasets of tenants and their files."""

    def __init__(self, datasets: Datasets, store: ArtifactStore) -> None:
        self._datasets = datasets
        self._store = store

    async def folder(self, tenant: str, dataset_id: str, *, needs: str) -> Path:
        """A local folder with the dataset's files, verified and not to be changed.

        Args:
            needs: A file that must be there.

        Raises:
            NotFoundError: As `Datasets.get`, or the dataset is of a time before it had that file.
        """
        dataset = await self._datasets.get(tenant, dataset_id)
        folder = await asyncio.to_thread(self._store.materialise, dataset.digest)
        if not (folder / needs).is_file():
            raise NotFoundError(f"dataset {dataset_id!r} has no {needs}. Make it again")
        return folder

    async def manifest(self, tenant: str, dataset_id: str) -> Manifest:
        """The dataset's manifest; raises as `folder` does."""
        dataset = await self._datasets.get(tenant, dataset_id)
        return await asyncio.to_thread(self._store.manifest, dataset.digest)
