"""Every version of every tenant's policy, as use cases see them."""

from typing import Protocol

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.envelope import Stored
from modelmill_service_kit.errors import NotFoundError


class History(Protocol):
    """See `modelmill_moderation.adapters.policy_history.PolicyHistory`."""

    async def newest(self, tenant: str) -> Stored[PolicyState] | None: ...
    async def versions(self, tenant: str) -> list[PolicyState]: ...
    async def add(self, state: PolicyState, *, after: int) -> None: ...


def unknown_version(version: int) -> NotFoundError:
    """What is said of a version that the tenant's policy never had."""
    return NotFoundError(
        f"the policy has no version {version}. GET /v1/moderation/policy/versions lists them"
    )
