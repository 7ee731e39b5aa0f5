"""Create, show, limit, suspend, resume and delete tenants: for operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from modelmill.gateway.v1.gateway_events_pb2 import (
    TENANT_STATUS_ACTIVE,
    TENANT_STATUS_DELETING,
    TENANT_STATUS_SUSPENDED,
    TenantState,
    TenantStatus,
)
from modelmill_bus.bus import StaleWriteError
from modelmill_bus.read_model import SHARED_TENANT, until_seen
from modelmill_service_kit.errors import AlreadyExistsError, NotFoundError, PreconditionError
from modelmill_service_kit.nearest import no_such

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.ledger.budget import Budget, Limits, tenant_budget
from modelmill_gateway.spending.budget_book import BudgetBook
from modelmill_gateway.tenants.tenant_book import GOING, LISTED_AT, TenantBook


class HasTenants(Protocol):
    """A read model that knows whose its records are."""

    def tenants(self) -> set[str]: ...


@dataclass(frozen=True)
class ShownTenant:
    """A tenant with its limits and their use; `state` says nothing of one that tokens alone name.

    Such a tenant exists once it has something: no token needs an operator to create its tenant.
    """

    state: TenantState
    budget: Budget


class ManageTenants:
    """Tenants of the whole installation; who may ask is decided by the scope `operator`.

    All that change something raise UnavailableError when the bus is away.

    Args:
        owners: read models in which a tenant may have something.
    """

    def __init__(
        self, tenants: TenantBook, budgets: BudgetBook, owners: Sequence[HasTenants]
    ) -> None:
        self._tenants = tenants
        self._budgets = budgets
        self._owners = owners

    def list(self) -> Sequence[ShownTenant]:
        """Every tenant that was created or has something, by name."""
        return [self._shown(name) for name in sorted(self._names())]

    def get(self, name: str) -> ShownTenant:
        """One of them.

        Raises:
            NotFoundError: it was not created and has nothing.
        """
        self._require_known(name)
        return self._shown(name)

    async def create(self, name: str, caller: Caller) -> ShownTenant:
        """Create a tenant, so that it is listed before it has anything.

        Raises:
            AlreadyExistsError: there is one, or was.
        """
        state = self._tenants.find(name)
        is_deleted = state is not None and state.status in GOING
        taken = AlreadyExistsError(
            f"the tenant {name!r} was deleted, and its name is not used again. Choose another name"
            if is_deleted
            else f"there is a tenant {name!r} already. Choose another name"
        )
        if name in self._names() | {SHARED_TENANT}:
            raise taken
        try:
            return await self._write(name, TENANT_STATUS_ACTIVE, caller, expected=0)
        except StaleWriteError:
            raise taken from None

    async def limit(self, name: str, limits: Limits, caller: Caller) -> ShownTenant:
        """Let these limits hold for the whole tenant; what is used stays.

        Raises:
            NotFoundError: it was not created and has nothing.
            ConflictError: replicas write to the budget faster than we can.
        """
        self._require_known(name)
        await self._budgets.put(tenant_budget(name), name, limits, changed_by=caller.subject)
        return self._shown(name)

    async def suspend(self, name: str, caller: Caller) -> ShownTenant:
        """Refuse the tenant's tokens and keys from their next request on.

        Raises:
            NotFoundError: it was not created and has nothing.
            PreconditionError: it is the caller's own, or shared.
        """
        _refuse_own(name, caller)
        return await self._change(name, TENANT_STATUS_SUSPENDED, caller)

    async def resume(self, name: str, caller: Caller) -> ShownTenant:
        """Let the tenant ask again.

        Raises:
            NotFoundError: it was not created and has nothing.
            PreconditionError: it was deleted.
        """
        return await self._change(name, TENANT_STATUS_ACTIVE, caller)

    async def delete(self, name: str, caller: Caller) -> ShownTenant:
        """Begin to delete the tenant with all that it has; `DeleteTenants` goes on with it.

        One that is deleted, or is being deleted, is shown as it stands.

        Raises:
            NotFoundError: it was not created and has nothing.
            PreconditionError: it is the caller's own, or shared.
        """
        _refuse_own(name, caller)
        return await self._change(name, TENANT_STATUS_DELETING, caller)

    async def _change(
        self, name: str, status: TenantStatus.ValueType, caller: Caller
    ) -> ShownTenant:
        self._require_known(name)
        while True:
            try:
                stored = await self._tenants.newest(name, name)
            except NotFoundError:
                stored = None
            if stored is not None and stored.body.status in GOING:
                if status == TENANT_STATUS_DELETING:
                    return self._shown(name)
                raise PreconditionError(f"the tenant {name!r} was deleted. Create another one")
            if stored is not None and stored.body.status == status:
                return self._shown(name)
            try:
                return await self._write(
                    name, status, caller, expected=stored.sequence if stored else 0
                )
            except StaleWriteError:
                continue

    async def _write(
        self, name: str, status: TenantStatus.ValueType, caller: Caller, *, expected: int
    ) -> ShownTenant:
        before = self._tenants.find(name)
        state = TenantState(tenant=name, status=status, changed_by=caller.subject)
        state.changed_at.GetCurrentTime()
        state.created_at.CopyFrom(before.created_at if before is not None else state.changed_at)
        await until_seen(self._tenants, await self._tenants.write(state, expected=expected))
        return self._shown(name)

    def _shown(self, name: str) -> ShownTenant:
        budget_id = tenant_budget(name)
        state = self._tenants.find(name) or TenantState(tenant=name, status=TENANT_STATUS_ACTIVE)
        return ShownTenant(state, self._budgets.get(budget_id) or Budget(budget_id, name))

    def _names(self) -> set[str]:
        known = set[str]().union(*(each.tenants() for each in (self._tenants, *self._owners)))
        return known - {SHARED_TENANT, ""}

    def _require_known(self, name: str) -> None:
        if name not in (names := self._names()):
            raise no_such("tenant", name, LISTED_AT, names)


def _refuse_own(name: str, caller: Caller) -> None:
    """Raise PreconditionError for a tenant without which nobody could go on."""
    if name in (caller.tenant, SHARED_TENANT):
        what = "shared with every tenant" if name == SHARED_TENANT else "your own tenant"
        raise PreconditionError(f"{name!r} is {what}. Name another one")
