"""Models and their names on the bus, as they are now."""

import asyncio
import logging
from collections.abc import Collection

from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady, ModelRetired
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY, MODEL_RETIRED, alias_state
from modelmill_registry.aliases import split_versions
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.read_model import SHARED_TENANT
from modelmill_service_kit.errors import DeadlineError, UnavailableError

log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 2.0
REPLAY_SECONDS = 3.0


class ModelRecords:
    """The read model of models, and announcements that one is retired."""

    def __init__(self, bus: Bus, catalogue: ModelCatalogue) -> None:
        self._bus = bus
        self._catalogue = catalogue

    async def catch_up(self) -> None:
        """Know what was announced and retired before now.

        Raises:
            UnavailableError: The bus does not answer.
        """
        ready = await self._bus.last(MODEL_READY, ModelReady)
        retired = await self._bus.last(MODEL_RETIRED, ModelRetired)
        for newest in (ready, retired):
            if newest is not None:
                await self._wait_for(newest.sequence)

    def get(self, tenant: str, version_id: str) -> ModelReady:
        """A version that the tenant may use. Raises NotFoundError."""
        return self._catalogue.get(tenant, version_id)

    def made_from(self, version_id: str) -> list[ModelReady]:
        """Versions of all tenants that name it as parent or base and are not retired."""
        return self._catalogue.made_from(version_id)

    async def retire(self, retired: ModelRetired) -> int:
        """Durable on return, and known to this process.

        Raises:
            UnavailableError: The bus does not answer; ask again.
        """
        sequence = await self._bus.publish(
            MODEL_RETIRED, retired, msg_id=f"{retired.version_id}-retired"
        )
        try:
            await self._wait_for(sequence)
        except UnavailableError as error:
            log.warning("model %s is retired and still listed: %s", retired.version_id, error)
        return sequence

    async def _wait_for(self, sequence: int) -> None:
        try:
            await self._catalogue.wait_for(sequence, CATCH_UP_SECONDS)
        except DeadlineError as error:
            raise UnavailableError("the list of models is behind the bus") from error


class AliasRecords:
    """Reads all aliases from the stream for each question: asked rarely, and never behind."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def naming(self, version_ids: Collection[str]) -> list[AliasState]:
        """Aliases of all tenants that stand for one of the versions now.

        Raises:
            UnavailableError: The bus does not answer.
        """
        newest = await self._newest("alias.state.*.*")
        return [
            alias
            for alias in newest.values()
            if alias.version_id and {alias.version_id, *split_versions(alias)} & set(version_ids)
        ]

    async def find(self, tenant: str, name: str) -> AliasState | None:
        """The tenant's alias of that name, or the shared one; None where there is none.

        Raises:
            InvalidInputError: No alias can have such a name.
            UnavailableError: The bus does not answer.
        """
        for owner in (tenant, SHARED_TENANT):
            for alias in (await self._newest(alias_state(owner, name))).values():
                if alias.version_id:
                    return alias
        return None

    async def _newest(self, subject: str) -> dict[str, AliasState]:
        newest: dict[str, AliasState] = {}
        try:
            async with asyncio.timeout(REPLAY_SECONDS):
                async for stored in self._bus.replay([subject]):
                    newest[stored.subject] = stored.body
        except TimeoutError as error:
            raise UnavailableError("the aliases cannot be read") from error
        return newest
