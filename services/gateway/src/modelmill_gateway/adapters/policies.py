"""The policy in force for each tenant, as moderation last published it."""

import asyncio
import logging

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.bus import Bus
from modelmill_guard.bundle import CompiledPolicy
from modelmill_registry.read_model import SHARED_TENANT
from modelmill_service_kit.errors import UnavailableError

log = logging.getLogger(__name__)


class PolicyBook:
    """Read model of `policy.state.*`.

    A tenant without a policy of its own has the shared one. A tenant whose newest bundle is not
    valid has none, and nothing of it passes: the shared policy may be laxer than what was meant.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._policies: dict[str, CompiledPolicy | None] = {}
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Follow the policies until cancelled."""
        stored = self._bus.follow(["policy.state.*"], on_current=self.ready.set)
        async for message in stored:
            if message.body.follows_shared:
                self._policies.pop(message.body.tenant, None)
                continue
            # Building the automata of a large policy takes a while; answers go on meanwhile.
            compiled = await asyncio.to_thread(_compiled, message.body)
            self._policies[message.body.tenant] = compiled

    def of(self, tenant: str) -> CompiledPolicy:
        """The policy that binds `tenant`.

        Raises:
            UnavailableError: there is none, or its bundle is not valid.
        """
        policy = self._policies.get(tenant, self._policies.get(SHARED_TENANT))
        if policy is None:
            raise UnavailableError("no valid policy bundle, so nothing passes")
        return policy


def _compiled(state: PolicyState) -> CompiledPolicy | None:
    try:
        return CompiledPolicy.from_bundle(state.bundle, state.digest)
    except ValueError as error:
        log.error("policy %d of %s is not valid: %s", state.version, state.tenant, error)
        return None
