"""Follows policy changes on NATS; each is in force as soon as it is compiled."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

from google.protobuf.message import Message
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.envelope import Stored
from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.policy import PolicyError

from modelmill_moderation.domain.policies import Ownership, PoliciesInForce

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
