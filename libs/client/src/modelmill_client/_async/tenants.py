"""Tenants of an installation, for operators: a token with the scope `operator` is needed."""

import os
from collections.abc import AsyncIterator
from typing import Unpack, cast

from modelmill_client import types
from modelmill_client._async.transport import AsyncResource
from modelmill_client.wire import PAGE, path_of


class AsyncStatus(AsyncResource):
    """/v1/status."""

    async def retrieve(self) -> types.SystemStatus:
        """Which services answer, in which version, and what waits."""
        return cast(types.SystemStatus, await self._transport.call("GET", "/v1/status"))


class AsyncCapacity(AsyncResource):
    """/v1/capacity."""

    async def retrieve(self) -> types.CapacityReport:
        """What workers, inference, queues and streams could take, and take now."""
        return cast(types.CapacityReport, await self._transport.call("GET", "/v1/capacity"))


class AsyncFindings(AsyncResource):
    """/v1/findings."""

    async def list(self) -> list[types.ReportedFinding]:
        """What is wrong with services, broker and streams, and what to do about it."""
        page = await self._transport.call("GET", "/v1/findings")
        return cast(list[types.ReportedFinding], page["data"])


class AsyncAlerts(AsyncResource):
    """/v1/alerts."""

    async def list(self) -> list[types.Alert]:
        """Alerts of the installation's Prometheus, what fires first.

        Raises:
            ApiStatusError: the gateway is told of none, or that does not answer.
        """
        page = await self._transport.call("GET", "/v1/alerts")
        return cast(list[types.Alert], page["data"])


class AsyncTenants(AsyncResource):
    """/v1/tenants."""

    async def create(self, **body: Unpack[types.TenantBody]) -> types.Tenant:
        """Create a tenant; a call that may have been done is not repeated."""
        return cast(types.Tenant, await self._transport.call("POST", "/v1/tenants", json=body))

    def list(
        self, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.Tenant]:
        """Every tenant that was created or has something, by name."""
        return self._transport.each("/v1/tenants", after=after, page_size=page_size)

    async def retrieve(self, tenant: str) -> types.Tenant:
        """A tenant with its limits and their use."""
        return cast(types.Tenant, await self._transport.call("GET", path_of("tenants", tenant)))

    async def limit(self, tenant: str, **body: Unpack[types.BudgetBody]) -> types.Tenant:
        """Set all `limits` of a tenant; what is absent in them is unlimited."""
        path = path_of("tenants", tenant, "limits")
        return cast(types.Tenant, await self._transport.call("PUT", path, json=body))

    async def suspend(self, tenant: str) -> types.Tenant:
        """Refuse a tenant's tokens and keys from their next request on."""
        path = path_of("tenants", tenant, "suspend")
        return cast(types.Tenant, await self._transport.call("POST", path, may_repeat=True))

    async def resume(self, tenant: str) -> types.Tenant:
        """Let a suspended tenant ask again."""
        path = path_of("tenants", tenant, "resume")
        return cast(types.Tenant, await self._transport.call("POST", path, may_repeat=True))

    async def export(self, tenant: str, target: str | os.PathLike[str]) -> None:
        """Write a tar archive of all that a tenant has to the disk, whole or not at all."""
        await self._transport.download(path_of("tenants", tenant, "export"), target)

    async def delete(self, tenant: str) -> types.Tenant:
        """Begin to delete a tenant with all that it has; `retrieve` says when that is done.

        Again, it says how far that is.
        """
        return cast(types.Tenant, await self._transport.call("DELETE", path_of("tenants", tenant)))
