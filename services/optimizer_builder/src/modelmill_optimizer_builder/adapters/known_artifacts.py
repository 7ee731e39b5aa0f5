"""Versions and datasets that exist, also those that became ready a moment ago."""

from collections.abc import Callable
from typing import TypeVar

from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue
from modelmill_registry.read_model import ReadModel
from modelmill_service_kit.errors import NotFoundError

CATCH_UP_SECONDS = 5.0

T = TypeVar("T")


class KnownArtifacts:
    """Looks in the read models, and once more after a miss when they have caught up."""

    def __init__(self, bus: Bus, models: ModelCatalogue, datasets: DatasetCatalogue) -> None:
        self._bus = bus
        self._models = models
        self._datasets = datasets

    async def version(self, tenant: str, version_id: str) -> ModelReady:
        """Raises NotFoundError, also when it is another tenant's or retired."""
        return await self._find(
            lambda: self._models.get(tenant, version_id), self._models, MODEL_READY, ModelReady
        )

    async def dataset(
        self, tenant: str, dataset_id: str, *, include_retired: bool = False
    ) -> DatasetReady:
        """Raises NotFoundError, also when it is another tenant's."""
        return await self._find(
            lambda: self._datasets.get(tenant, dataset_id, include_retired=include_retired),
            self._datasets,
            DATASET_READY,
            DatasetReady,
        )

    async def _find(
        self,
        look: Callable[[], T],
        model: ReadModel,
        subject: str,
        kind: type[ModelReady] | type[DatasetReady],
    ) -> T:
        try:
            return look()
        except NotFoundError:
            newest = await self._bus.last_by_consumer(subject, kind)
            if newest is not None:
                await model.wait_for(newest.sequence, CATCH_UP_SECONDS)
            return look()
