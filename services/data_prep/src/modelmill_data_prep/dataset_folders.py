"""Access to the files of a dataset."""

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
            NotFoundError: It is unknown, retired, or another tenant's.
            UnavailableError: The bus does not answer.
        """
        ...


class DatasetFolders:
    """Looks datasets up and materialises their files."""

    def __init__(self, datasets: Datasets, store: ArtifactStore) -> None:
        self._datasets = datasets
        self._store = store

    async def folder(self, tenant: str, dataset_id: str, *, needs: str) -> Path:
        """Verified, read-only local folder of a dataset.

        Args:
            needs: Name of a required file.

        Raises:
            NotFoundError: As `Datasets.get`, or an older release made the dataset without the file.
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
