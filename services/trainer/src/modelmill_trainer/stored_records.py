"""Reads jobs and aliases from their streams on each call: never behind, unlike a read model."""

import asyncio
from collections.abc import Collection

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobRequested, JobState
from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import SHARED_TENANT
from modelmill_bus.subjects import alias_state, job_requested, job_state
from modelmill_registry.aliases import split_versions
from modelmill_service_kit.errors import UnavailableError

REPLAY_SECONDS = 3.0


class JobReader:
    """Reads the last message of a subject from the stream's leader.

    Every method raises UnavailableError if the bus does not answer.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def is_known(self, *, tenant: str, kind: str, job_id: str) -> bool:
        """Whether a job with this id was accepted. Raises InvalidInputError for a malformed id."""
        subject = job_requested(kind, tenant, job_id)
        return await self._bus.last(subject, JobRequested) is not None

    async def state(self, job_id: str) -> JobState | None:
        """The newest JobState; None before the first claim."""
        stored = await self._bus.last(job_state(job_id), JobState)
        return stored.body if stored is not None else None

    async def result_digest(self, *, tenant: str, kind: str, job_id: str) -> str | None:
        """Digest of the artifact of a job that succeeded; None for any other job."""
        known = await self.is_known(tenant=tenant, kind=kind, job_id=job_id)
        state = await self.state(job_id) if known else None
        if state is None or state.status != JOB_STATUS_SUCCEEDED:
            return None
        return state.result.digest


class AliasReader:
    """Reads aliases from the stream: calls are rare and must see the newest state.

    Every method raises UnavailableError if the bus does not answer.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def naming(self, version_ids: Collection[str]) -> list[AliasState]:
        """Aliases of all tenants that resolve to one of the versions now."""
        newest = await self._newest("alias.state.*.*")
        return [
            alias
            for alias in newest.values()
            if alias.version_id and {alias.version_id, *split_versions(alias)} & set(version_ids)
        ]

    async def find(self, tenant: str, name: str) -> AliasState | None:
        """The tenant's alias of that name, or the shared one; None if there is none.

        Raises:
            InvalidInputError: No alias can have such a name.
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
