"""Adapters for model versions and aliases on the bus."""

import asyncio
from collections.abc import Collection

from modelmill.jobs.v1.job_pb2 import JobRequested, JobState
from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady, ModelRetired
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import SHARED_TENANT, until_seen
from modelmill_bus.subjects import MODEL_RETIRED, alias_state, job_requested, job_state
from modelmill_registry.aliases import split_versions
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_service_kit.errors import UnavailableError


class JobReader:
    """Reads the last message of a subject, from the stream's leader: never behind."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def is_known(self, *, tenant: str, kind: str, job_id: str) -> bool:
        """Whether a job with this id was accepted.

        Raises:
            InvalidInputError: the job id is malformed.
            UnavailableError: the bus does not answer.
        """
        subject = job_requested(kind, tenant, job_id)
        return await self._bus.last(subject, JobRequested) is not None

    async def state(self, job_id: str) -> JobState | None:
        """The newest JobState; None before the first claim.

        Raises:
            UnavailableError: the bus does not answer.
        """
        stored = await self._bus.last(job_state(job_id), JobState)
        return stored.body if stored is not None else None


REPLAY_SECONDS = 3.0


class ModelCatalogueWriter:
    """Reads the model catalogue and publishes `model.retired`."""

    def __init__(self, bus: Bus, catalogue: ModelCatalogue) -> None:
        self._bus = bus
        self._catalogue = catalogue

    async def catch_up(self) -> None:
        """Wait until the read model holds every announcement made before this call.

        Raises:
            UnavailableError: The bus does not answer.
        """
        await self._catalogue.catch_up()

    def get(self, tenant: str, version_id: str) -> ModelReady:
        """A version that the tenant may use. Raises NotFoundError."""
        return self._catalogue.get(tenant, version_id)

    def made_from(self, version_id: str) -> list[ModelReady]:
        """Versions of all tenants that name it as parent or base and are not retired."""
        return self._catalogue.made_from(version_id)

    async def retire(self, retired: ModelRetired) -> int:
        """Publish a retirement. On return it is durable, and this process has read it.

        Raises:
            UnavailableError: The bus does not answer. Retry.
        """
        sequence = await self._bus.publish(
            MODEL_RETIRED, retired, msg_id=f"{retired.version_id}-retired"
        )
        await until_seen(self._catalogue, sequence)
        return sequence


class AliasReader:
    """Reads aliases from the stream on every call: calls are rare and must see the newest state."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def naming(self, version_ids: Collection[str]) -> list[AliasState]:
        """Aliases of all tenants that resolve to one of the versions now.

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
