"""Policies on NATS JetStream: versions under `policy.state.<tenant>`, and the feed of changes.

A changed policy is in force as soon as it is compiled.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.bus import Publishes
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import policy_state
from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.policy import PolicyError

from modelmill_moderation.domain.policies import Ownership, PoliciesInForce

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


log = logging.getLogger(__name__)


class Follows(Protocol):
    """Subset of the bus that this module uses."""

    def follow(
        self,
        subjects: Sequence[str],
        kinds: Mapping[str, type[Message]] | None = None,
        *,
        after: int = 0,
        on_current: Callable[[], None] | None = None,
    ) -> AsyncIterator[Stored[Any]]: ...


class PolicyFeed:
    """Follows `policy.state.*`."""

    def __init__(self, bus: Follows, policies: PoliciesInForce) -> None:
        self._bus = bus
        self._policies = policies
        self.ready = asyncio.Event()
        """Set once all policies stored at startup are in force."""

    async def run(self) -> None:
        """Follow until cancelled; while the bus is unreachable, policies stay in force."""
        async for stored in self._bus.follow(("policy.state.*",), on_current=self.ready.set):
            # Take the tenant from the subject, which the broker's permissions protect.
            tenant = stored.subject.rpartition(".")[2]
            if stored.body.follows_shared:
                self._policies.follow_shared(tenant)
                continue
            # In a thread: compiling the automata of thousands of keywords would block the event
            # loop.
            policy = await asyncio.to_thread(_compiled, tenant, stored.body)
            owner = Ownership(
                tenant, stored.body.default_digest, frozenset(stored.body.default_rules)
            )
            self._policies.put(owner, policy)


def _compiled(tenant: str, state: PolicyState) -> CompiledPolicy | None:
    try:
        policy = CompiledPolicy.from_bundle(state.bundle, state.digest)
    except PolicyError as error:
        log.error("version %d of the policy of %s is closed: %s", state.version, tenant, error)
        return None
    log.info("version %d of the policy of %s: %s", state.version, tenant, policy.digest)
    return policy
