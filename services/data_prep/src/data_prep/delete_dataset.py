"""Use case: a dataset is taken out of use, and whoever follows datasets hears of it."""

from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import DatasetReady, DatasetRetired
from service_kit.errors import NotFoundError


class Datasets(Protocol):
    async def get(self, tenant: str, dataset_id: str) -> DatasetReady:
        """Raises NotFoundError and UnavailableError."""
        ...

    async def retire(self, retired: DatasetRetired) -> int:
        """Sequence of the announcement. Raises UnavailableError."""
        ...


class DeleteDataset:
    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets

    async def __call__(self, *, tenant: str, dataset_id: str, requested_by: str) -> int:
        """Announce it once, and return the announcement's sequence.

        Raises:
            NotFoundError: Unknown, retired, or not the tenant's own.
            UnavailableError: The bus does not answer.
        """
        dataset = await self._datasets.get(tenant, dataset_id)
        if dataset.tenant != tenant:
            # Shared: everybody sees it, and only its owner may take it away.
            raise NotFoundError(f"no dataset {dataset_id!r} of your own")
        reason = f"deleted by {requested_by}"
        retired = DatasetRetired(dataset_id=dataset_id, tenant=tenant, reason=reason)
        return await self._datasets.retire(retired)
