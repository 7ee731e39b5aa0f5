"""Datasets on the bus: read from the read model, once more when it has caught up."""

import logging

from modelmill.registry.v1.model_events_pb2 import DatasetReady, DatasetRetired
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY, DATASET_RETIRED
from modelmill_registry.catalogue import DatasetCatalogue
from modelmill_service_kit.errors import DeadlineError, NotFoundError

log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 2.0


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
        try:
            return self._catalogue.get(tenant, dataset_id)
        except NotFoundError:
            newest = await self._bus.last(DATASET_READY, DatasetReady)
            if newest is not None:
                await self._catalogue.wait_for(newest.sequence, CATCH_UP_SECONDS)
            return self._catalogue.get(tenant, dataset_id)

    async def retire(self, retired: DatasetRetired) -> int:
        """Durable on return, and known to this process.

        Raises:
            UnavailableError: The bus does not answer; ask again.
        """
        sequence = await self._bus.publish(
            DATASET_RETIRED, retired, msg_id=f"{retired.dataset_id}-retired"
        )
        try:
            await self._catalogue.wait_for(sequence, CATCH_UP_SECONDS)
        except DeadlineError as error:
            log.warning("dataset %s is retired and still listed: %s", retired.dataset_id, error)
        return sequence
