"""Interface of the stored policy versions."""

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
    """Error for a version that does not exist."""
    return NotFoundError(
        f"the policy has no version {version}. GET /v1/moderation/policy/versions lists them"
    )
