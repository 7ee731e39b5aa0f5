"""Tenants that operators created, suspended or deleted: followed from TENANTS, written by CAS."""

from modelmill.gateway.v1.gateway_events_pb2 import TENANT_STATUS_SUSPENDED, TenantState
from modelmill_bus.bus import Bus
from modelmill_bus.keyed_store import KeyedStore

from modelmill_gateway.domain.errors import TenantSuspendedError

LISTED_AT = "/v1/tenants"


class TenantBook(KeyedStore[TenantState]):
    """Read model of `tenant.state.*`; a tenant that only tokens name has no record and is active.

    Nothing here waits for the bus: whether a tenant may ask is looked up in memory.
    """

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, "tenant.state", key="tenant", noun="tenant", listed_at=LISTED_AT)

    def require_active(self, tenant: str) -> None:
        """Let a request of the tenant's pass.

        Raises:
            TenantSuspendedError: an operator suspended it.
        """
        state = self._records.get(tenant)
        if state is not None and state.status == TENANT_STATUS_SUSPENDED:
            raise TenantSuspendedError(tenant)
