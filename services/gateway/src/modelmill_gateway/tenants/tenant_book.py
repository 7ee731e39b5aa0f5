"""Tenants that operators created, suspended or deleted: followed from TENANTS, written by CAS."""

from collections.abc import Callable
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import (
    TENANT_STATUS_DELETED,
    TENANT_STATUS_DELETING,
    TENANT_STATUS_ERASING,
    TENANT_STATUS_SUSPENDED,
    TenantState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.keyed_store import KeyedStore

from modelmill_gateway.domain.errors import TenantDeletedError, TenantSuspendedError

LISTED_AT = "/v1/tenants"
ERASED = (TENANT_STATUS_ERASING, TENANT_STATUS_DELETED)
GOING = (TENANT_STATUS_DELETING, *ERASED)
"""What a tenant does not come back from."""


class TenantBook(KeyedStore[TenantState]):
    """Read model of `tenant.state.*`; a tenant that only tokens name has no record and is active.

    Nothing here waits for the bus: whether a tenant may ask is looked up in memory.
    """

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, "tenant.state", key="tenant", noun="tenant", listed_at=LISTED_AT)
        self.on_erased: Callable[[str], None] | None = None
        """Called with the name of each tenant whose jobs have ended for good, as it is heard."""

    def require_active(self, tenant: str) -> None:
        """Let a request of the tenant's pass.

        Raises:
            TenantSuspendedError: an operator suspended it.
            TenantDeletedError: an operator deleted it.
        """
        state = self._records.get(tenant)
        if state is None:
            return
        if state.status == TENANT_STATUS_SUSPENDED:
            raise TenantSuspendedError(tenant)
        if state.status in GOING:
            raise TenantDeletedError(tenant)

    def going(self) -> list[TenantState]:
        """Tenants that are being deleted."""
        return [
            each
            for each in self._records.values()
            if each.status in (TENANT_STATUS_DELETING, TENANT_STATUS_ERASING)
        ]

    def _apply(self, stored: Stored[Any]) -> None:
        super()._apply(stored)
        if stored.body.status in ERASED and self.on_erased is not None:
            self.on_erased(stored.body.tenant)
