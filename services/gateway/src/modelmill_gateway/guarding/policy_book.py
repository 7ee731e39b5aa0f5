"""The policy in force for each tenant, as moderation last published it."""

import asyncio
import logging
from typing import Any

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import SHARED_TENANT, ReadModel
from modelmill_guard.bundle import CompiledPolicy
from modelmill_service_kit.errors import UnavailableError

log = logging.getLogger(__name__)


class PolicyBook(ReadModel):
    """Read model of `policy.state.*`.

    A tenant without a policy of its own has the shared one. A tenant whose newest bundle is not
    valid has none, and nothing of it passes: the shared policy may be laxer than what was meant.
    """

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, ("policy.state.*",))
        self._policies: dict[str, CompiledPolicy | None] = {}

    def of(self, tenant: str) -> CompiledPolicy:
        """The policy that binds `tenant`.

        Raises:
            UnavailableError: there is none, or its bundle is not valid.
        """
        policy = self._policies.get(tenant, self._policies.get(SHARED_TENANT))
        if policy is None:
            raise UnavailableError("no valid policy bundle, so nothing passes")
        return policy

    async def _apply(self, stored: Stored[Any]) -> None:
        state: PolicyState = stored.body
        if state.follows_shared:
            self._policies.pop(state.tenant, None)
        else:
            # Building the automata of a large policy takes a while; answers go on meanwhile.
            self._policies[state.tenant] = await asyncio.to_thread(_compiled, state)


def _compiled(state: PolicyState) -> CompiledPolicy | None:
    try:
        return CompiledPolicy.from_bundle(state.bundle, state.digest)
    except ValueError as error:
        log.error("policy %d of %s is not valid: %s", state.version, state.tenant, error)
        return None
