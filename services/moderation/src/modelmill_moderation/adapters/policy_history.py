"""Versions of tenants' policies, stored in NATS JetStream under `policy.state.<tenant>`."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.bus import Publishes
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import policy_state

M = TypeVar("M", bound=Message)


class HistoryBus(Publishes, Protocol):
    """Subset of the bus that this module uses."""

    async def last_by_consumer(self, subject: str, kind: type[M]) -> Stored[M] | None: ...

    def replay(
        self, subjects: Sequence[str], *, since: datetime | None = None
    ) -> AsyncIterator[Stored[Any]]: ...


class PolicyHistory:
    """Reads versions, and appends by compare-and-set on the subject's last sequence."""

    def __init__(self, bus: HistoryBus) -> None:
        self._bus = bus

    async def newest(self, tenant: str) -> Stored[PolicyState] | None:
        """The latest version, or None; raises UnavailableError without the bus."""
        return await self._bus.last_by_consumer(policy_state(tenant), PolicyState)

    async def versions(self, tenant: str) -> list[PolicyState]:
        """All versions, oldest first; raises UnavailableError without the bus."""
        return [stored.body async for stored in self._bus.replay([policy_state(tenant)])]

    async def add(self, state: PolicyState, *, after: int) -> None:
        """Append a version if the latest is still the one at sequence `after`; 0 for none.

        Raises:
            StaleWriteError: Another version was appended first.
            UnavailableError: The bus is unreachable.
        """
        await self._bus.publish(policy_state(state.tenant), state, expect_last=after)
