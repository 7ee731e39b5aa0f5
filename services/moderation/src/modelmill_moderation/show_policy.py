"""Use case: read the policy in force for a tenant, its documents and its versions."""

from dataclasses import dataclass

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.moderation.v1.moderation_service_pb2 import PolicyDocument
from modelmill_guard.bundle import as_yaml, policy_of
from modelmill_guard.layers import removed_by
from modelmill_guard.policy import PolicyError
from modelmill_service_kit.errors import NotFoundError

from modelmill_moderation.domain.policies import SHARED_TENANT
from modelmill_moderation.policy_states import History, unknown_version

MAX_VERSIONS = 100


@dataclass(frozen=True)
class Shown:
    """A version and its content."""

    state: PolicyState
    documents: list[PolicyDocument]
    """Documents as written; generated from the bundle if there are none."""
    default_documents: list[PolicyDocument]
    """Inherited default rules."""
    removed: tuple[str, ...]
    """Current default rules that it has removed or weakened."""


class ShowPolicy:
    """Reads from the bus, so that a change is visible at once."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def __call__(self, tenant: str, version: int) -> Shown:
        """A version of the tenant's own policy; 0 for the policy in force.

        Raises:
            NotFoundError: There is no such version, or no policy at all.
            UnavailableError: The bus is unreachable.
        """
        state = await (self._version(tenant, version) if version else self._judging(tenant))
        documents = list(state.documents)
        if not documents and state.bundle:
            documents = [PolicyDocument(name="policy.yaml", text=as_yaml(state.bundle))]
        shared = await self._history.newest(SHARED_TENANT)
        removed: tuple[str, ...] = ()
        if shared is not None and state.bundle and state.tenant != SHARED_TENANT:
            removed = _removed(state.bundle, shared.body.bundle)
        return Shown(state, documents, default_documents(state), removed)

    async def versions(self, tenant: str, limit: int) -> list[PolicyState]:
        """Latest versions of the tenant's own policy, newest first."""
        versions = await self._history.versions(tenant)
        return versions[::-1][: limit or MAX_VERSIONS]

    async def _version(self, tenant: str, version: int) -> PolicyState:
        for state in await self._history.versions(tenant):
            if state.version == version:
                return state
        raise unknown_version(version)

    async def _judging(self, tenant: str) -> PolicyState:
        for owner in (tenant, SHARED_TENANT):
            stored = await self._history.newest(owner)
            if stored is not None and not stored.body.follows_shared:
                return stored.body
        raise NotFoundError("no policy is in force. PUT /v1/moderation/policy puts one in force")


def default_documents(state: PolicyState) -> list[PolicyDocument]:
    """The inherited part of the bundle, as a YAML document."""
    if not state.default_rules:
        return []
    name, own = "default.yaml", {document.name for document in state.documents}
    while name in own:
        name = f"the-{name}"
    return [PolicyDocument(name=name, text=as_yaml(state.bundle, only={*state.default_rules}))]


def _removed(bundle: bytes, default: bytes) -> tuple[str, ...]:
    try:
        return removed_by(policy_of(bundle), policy_of(default))
    except PolicyError:
        # A bundle in another format cannot be compared.
        return ()
