"""Use case: recompile tenants' policies after the default policy has changed."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.errors import StaleWriteError
from modelmill_guard.bundle import Bundle
from modelmill_service_kit.errors import InvalidInputError, PreconditionError, UnavailableError

from modelmill_moderation.domain.policies import SHARED_TENANT
from modelmill_moderation.history import History
from modelmill_moderation.policy_states import check_size, documents_of, recompiled, write_compiled
from modelmill_moderation.publish_default_policy import CHANGED_BY

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0


class InForce(Protocol):
    """See `modelmill_moderation.domain.policies.PoliciesInForce`."""

    def with_outdated_defaults(self) -> list[str]: ...

    def until_changed(self) -> asyncio.Event: ...


class RenewDefaults:
    """Recompiles policies that inherit from an outdated default policy.

    Removed default rules stay removed; new ones apply. A policy without a default policy below it,
    from before layers existed, is left unchanged.
    """

    def __init__(
        self,
        history: History,
        policies: InForce,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._history = history
        self._policies = policies
        self._now = now
        self._refused: set[tuple[str, str]] = set()
        """Tenants and digests of default policies that failed to compile together."""

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            changed = self._policies.until_changed()
            try:
                for tenant in self._policies.with_outdated_defaults():
                    await self._renew(tenant)
            except UnavailableError as error:
                log.warning("default rules are not renewed yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await changed.wait()

    async def _renew(self, tenant: str) -> None:
        shared = await self._history.newest(SHARED_TENANT)
        stored = await self._history.newest(tenant)
        if shared is None or stored is None:
            return
        default, own = Bundle(shared.body.bundle, shared.body.digest), stored.body
        if own.default_digest in ("", default.digest) or (tenant, default.digest) in self._refused:
            return
        try:
            state = await asyncio.to_thread(self._renewed, own, default)
            await self._history.add(state, after=stored.sequence)
        except StaleWriteError:
            # Another replica or the tenant wrote first; the feed triggers the next attempt.
            return
        except (PreconditionError, InvalidInputError) as error:
            self._refused.add((tenant, default.digest))
            log.error("the policy of %s keeps its former default rules: %s", tenant, error)
            return
        log.info("version %d of the policy of %s has the new default rules", state.version, tenant)

    def _renewed(self, own: PolicyState, default: Bundle) -> PolicyState:
        state = PolicyState(tenant=own.tenant, version=own.version + 1, changed_by=CHANGED_BY)
        state.changed_at.FromDatetime(self._now())
        write_compiled(state, recompiled(own, default, ()), documents_of(own))
        check_size(state)
        return state
