"""Deletion of tenants: jobs are ended, owners of streams erase, and a report is left.

Where a deletion stands is in `tenant.state.<tenant>`, so that any gateway goes on with it: what a
step does is done again without harm.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from modelmill.gateway.v1.gateway_events_pb2 import (
    TENANT_STATUS_DELETED,
    TENANT_STATUS_DELETING,
    TENANT_STATUS_ERASING,
    RemovedObjects,
    TenantErased,
    TenantState,
    TenantStatus,
)
from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL, JobDesiredState
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import until_seen
from modelmill_bus.subjects import ERASERS, tenant_erased
from modelmill_bus.tenant_eraser import forget_answers, removed_objects
from modelmill_job_index.index import JobIndex
from modelmill_jobs.job_status import TERMINAL
from modelmill_service_kit.errors import DomainError, NotFoundError, PreconditionError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.tenants.tenant_book import TenantBook

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5


class DeleteTenants:
    """Carries out what `ManageTenants.delete` recorded, for as long as `run` runs."""

    def __init__(
        self,
        bus: Bus,
        tenants: TenantBook,
        jobs: JobIndex,
        control: Callable[[str, JobDesiredState.ValueType, Caller], Awaitable[object]],
    ) -> None:
        self._bus = bus
        self._tenants = tenants
        self._jobs = jobs
        self._control = control

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            for state in self._tenants.going():
                try:
                    await self._step(state)
                except DomainError as error:
                    log.warning("the deletion of a tenant waits: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def _step(self, state: TenantState) -> None:
        if state.status == TENANT_STATUS_DELETING:
            if await self._have_jobs_ended(state):
                await self._move(state.tenant, TENANT_STATUS_DELETING, TENANT_STATUS_ERASING, ())
            return
        erased = await self._erased(state.tenant)
        if erased is not None:
            counts = Counter[str]()
            for each in erased:
                counts.update({it.kind: it.count for it in each.removed})
            removed = removed_objects(counts)
            await self._move(state.tenant, TENANT_STATUS_ERASING, TENANT_STATUS_DELETED, removed)
            for service in ERASERS:
                await forget_answers(self._bus, state.tenant, service)

    async def _have_jobs_ended(self, state: TenantState) -> bool:
        """Whether none of the tenant's jobs runs or waits; those that do are cancelled."""
        open_jobs = [
            each for each in self._jobs.list(state.tenant) if each.state.status not in TERMINAL
        ]
        caller = Caller(state.tenant, state.changed_by, frozenset())
        for each in open_jobs:
            if each.desired_state == JOB_DESIRED_STATE_CANCEL:
                continue
            try:
                await self._control(each.requested.job_id, JOB_DESIRED_STATE_CANCEL, caller)
            except (NotFoundError, PreconditionError) as error:
                log.info("a job of a deleted tenant has ended meanwhile: %s", error)
        return not open_jobs

    async def _erased(self, tenant: str) -> list[TenantErased] | None:
        """What the owners say; None until all of them are done."""
        found = []
        for service in ERASERS:
            stored = await self._bus.last(tenant_erased(tenant, service), TenantErased)
            if stored is None or not stored.body.done:
                return None
            found.append(stored.body)
        return found

    async def _move(
        self,
        tenant: str,
        before: TenantStatus.ValueType,
        after: TenantStatus.ValueType,
        removed: Iterable[RemovedObjects],
    ) -> None:
        stored = await self._tenants.newest(tenant, tenant)
        if stored.body.status != before:
            return
        state = TenantState()
        state.CopyFrom(stored.body)
        state.status = after
        state.removed.extend(removed)
        state.changed_at.GetCurrentTime()
        written = await self._tenants.write(state, expected=stored.sequence)
        await until_seen(self._tenants, written)
