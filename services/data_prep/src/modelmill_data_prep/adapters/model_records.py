"""Models on the bus: read from the read model, once more when it has caught up."""

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_service_kit.errors import NotFoundError

CATCH_UP_SECONDS = 2.0


class ModelRecords:
    """What others announced and retired."""

    def __init__(self, bus: Bus, catalogue: ModelCatalogue) -> None:
        self._bus = bus
        self._catalogue = catalogue

    async def get(self, tenant: str, version_id: str) -> ModelReady:
        """A version that the tenant may use.

        Raises:
            NotFoundError: There is none, it is another tenant's, or it is retired.
            UnavailableError: The bus does not answer.
        """
        try:
            return self._catalogue.get(tenant, version_id)
        except NotFoundError:
            newest = await self._bus.last(MODEL_READY, ModelReady)
            if newest is not None:
                await self._catalogue.wait_for(newest.sequence, CATCH_UP_SECONDS)
            return self._catalogue.get(tenant, version_id)
