"""Use case: put the configured policy in force as the shared one, at startup."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.envelope import Stored
from modelmill_bus.errors import StaleWriteError
from modelmill_guard.bundle import Bundle

from modelmill_moderation.domain.policies import SHARED_TENANT
from modelmill_moderation.history import History

log = logging.getLogger(__name__)

CHANGED_BY = "moderation"
"""`changed_by` of policies that a service start put in force."""
_ATTEMPTS = 5


class PublishDefaultPolicy:
    """Writes `policy.state.shared` by compare-and-set, if it differs.

    A shared policy put in force by an operator stays: a restart must not replace it.
    """

    def __init__(
        self, history: History, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._history = history
        self._now = now

    async def __call__(self, bundle: Bundle) -> bool:
        """Returns whether the bundle was published.

        Raises:
            StaleWriteError: Other replicas kept writing first.
            UnavailableError: The bus is unreachable.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            in_force = await self._history.newest(SHARED_TENANT)
            if in_force is not None and not _gives_way(in_force.body, bundle):
                return False
            try:
                await self._publish(bundle, in_force)
                return True
            except StaleWriteError:
                # Another replica started too; its write may suffice.
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _publish(self, bundle: Bundle, in_force: Stored[PolicyState] | None) -> None:
        state = PolicyState(
            tenant=SHARED_TENANT,
            version=in_force.body.version + 1 if in_force else 1,
            digest=bundle.digest,
            bundle=bundle.content,
            changed_by=CHANGED_BY,
        )
        state.changed_at.FromDatetime(self._now())
        await self._history.add(state, after=in_force.sequence if in_force else 0)
        log.info("policy %s is in force as version %d", state.digest, state.version)


def _gives_way(in_force: PolicyState, bundle: Bundle) -> bool:
    if in_force.digest == bundle.digest:
        return False
    if in_force.changed_by != CHANGED_BY:
        log.info("the shared policy of %s stays in force", in_force.changed_by)
        return False
    return True
