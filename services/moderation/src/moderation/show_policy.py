"""Show which policy judges a tenant, what people wrote of it, and what was in force before."""

from guard.bundle import as_yaml
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.moderation.v1.moderation_service_pb2 import PolicyDocument
from service_kit.errors import NotFoundError

from moderation.domain.policies import SHARED_TENANT
from moderation.history import History

MAX_VERSIONS = 100


class ShowPolicy:
    """Reads the bus, so that it shows what was put in force a moment ago."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def __call__(self, tenant: str, version: int) -> tuple[PolicyState, list[PolicyDocument]]:
        """A version of the tenant's own policy, or with 0 what judges now, and its documents.

        Raises:
            NotFoundError: no such version, or no policy at all.
            UnavailableError: the bus is away.
        """
        state = await (self._version(tenant, version) if version else self._judging(tenant))
        documents = list(state.documents)
        if not documents and state.bundle:
            documents = [PolicyDocument(name="policy.yaml", text=as_yaml(state.bundle))]
        return state, documents

    async def versions(self, tenant: str, limit: int) -> list[PolicyState]:
        """The newest versions of the tenant's own policy, newest first."""
        versions = await self._history.versions(tenant)
        return versions[::-1][: limit or MAX_VERSIONS]

    async def _version(self, tenant: str, version: int) -> PolicyState:
        for state in await self._history.versions(tenant):
            if state.version == version:
                return state
        raise NotFoundError(f"the policy has no version {version}")

    async def _judging(self, tenant: str) -> PolicyState:
        for owner in (tenant, SHARED_TENANT):
            stored = await self._history.newest(owner)
            if stored is not None and not stored.body.follows_shared:
                return stored.body
        raise NotFoundError("no policy is in force")
