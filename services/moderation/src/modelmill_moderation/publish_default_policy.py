"""Use cases of the default policy: put it in force at startup, and recompile tenants' policies.

The configured policy is in force as the shared one. Tenants' own are compiled on top of it again
after it has changed.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.envelope import Stored
from modelmill_bus.errors import StaleWriteError
from modelmill_guard.bundle import Bundle
from modelmill_service_kit.errors import InvalidInputError, PreconditionError, UnavailableError

from modelmill_moderation.domain.policies import SHARED_TENANT
from modelmill_moderation.policy_states import (
    History,
    check_size,
    documents_of,
    recompiled,
    write_compiled,
)

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
