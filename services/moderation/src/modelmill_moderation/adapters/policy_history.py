"""Every version of every tenant's policy, as the bus keeps them under `policy.state.<tenant>`."""

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
    """The part of the bus that this needs."""

    async def last_by_consumer(self, subject: str, kind: type[M]) -> Stored[M] | None: ...

    def replay(
        self, subjects: Sequence[str], *, since: datetime | None = None
    ) -> AsyncIterator[Stored[Any]]: ...


class PolicyHistory:
    """Reads what is stored, and adds to it by compare-and-set."""

    def __init__(self, bus: HistoryBus) -> None:
        self._bus = bus

    async def newest(self, tenant: str) -> Stored[PolicyState] | None:
        """The last change, None when there never was one; UnavailableError without the bus."""
        return await self._bus.last_by_consumer(policy_state(tenant), PolicyState)

    async def versions(self, tenant: str) -> list[PolicyState]:
        """Oldest first; UnavailableError without the bus."""
        return [stored.body async for stored in self._bus.replay([policy_state(tenant)])]

    async def add(self, state: PolicyState, *, after: int) -> None:
        """Store a version if the one at sequence `after` is still the last; 0 for none yet.

        Raises:
            StaleWriteError: somebody was quicker.
            UnavailableError: the bus is away.
        """
        await self._bus.publish(policy_state(state.tenant), state, expect_last=after)
