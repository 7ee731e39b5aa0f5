"""Datasets and models on the bus: read from the read model, once more when it has caught up."""

from modelmill.registry.v1.model_events_pb2 import DatasetReady, DatasetRetired, ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import until_seen
from modelmill_bus.subjects import DATASET_READY, DATASET_RETIRED, MODEL_READY
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue


class DatasetRecords:
    """What others announced and retired, and our own announcements that one is retired."""

    def __init__(self, bus: Bus, catalogue: DatasetCatalogue) -> None:
        self._bus = bus
        self._catalogue = catalogue

    async def get(self, tenant: str, dataset_id: str) -> DatasetReady:
        """A dataset that the tenant may use.

        Raises:
            NotFoundError: There is none, it is another tenant's, or it is retired.
            UnavailableError: The bus does not answer.
        """
        return await self._catalogue.look(
            lambda: self._catalogue.get(tenant, dataset_id), DATASET_READY
        )

    async def retire(self, retired: DatasetRetired) -> int:
        """Durable on return, and known to this process.

        Raises:
            UnavailableError: The bus does not answer; ask again.
        """
        sequence = await self._bus.publish(
            DATASET_RETIRED, retired, msg_id=f"{retired.dataset_id}-retired"
        )
        await until_seen(self._catalogue, sequence)
        return sequence


class ModelRecords:
    """What others announced and retired."""

    def __init__(self, catalogue: ModelCatalogue) -> None:
        self._catalogue = catalogue

    async def get(self, tenant: str, version_id: str) -> ModelReady:
        """A version that the tenant may use.

        Raises:
            NotFoundError: There is none, it is another tenant's, or it is retired.
            UnavailableError: The bus does not answer.
        """
        return await self._catalogue.look(
            lambda: self._catalogue.get(tenant, version_id), MODEL_READY
        )
