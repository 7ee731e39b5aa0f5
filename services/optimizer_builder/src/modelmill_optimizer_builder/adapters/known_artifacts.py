"""Looks up model versions and datasets, including those announced a moment ago."""

from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue


class KnownArtifacts:
    """Looks in the read models; after a miss waits until they have caught up and looks again."""

    def __init__(self, models: ModelCatalogue, datasets: DatasetCatalogue) -> None:
        self._models = models
        self._datasets = datasets

    async def version(self, tenant: str, version_id: str) -> ModelReady:
        """Raises NotFoundError, also for a version of another tenant or a retired one."""
        return await self._models.look(lambda: self._models.get(tenant, version_id), MODEL_READY)

    async def dataset(
        self, tenant: str, dataset_id: str, *, include_retired: bool = False
    ) -> DatasetReady:
        """Raises NotFoundError, also for a dataset of another tenant."""
        return await self._datasets.look(
            lambda: self._datasets.get(tenant, dataset_id, include_retired=include_retired),
            DATASET_READY,
        )
