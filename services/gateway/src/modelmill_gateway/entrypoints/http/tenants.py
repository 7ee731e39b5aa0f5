"""Tenants and the status of the installation, for operators."""

from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.entrypoints.http.requests import caller_of, download, page
from modelmill_gateway.entrypoints.schemas.base import Page
from modelmill_gateway.entrypoints.schemas.keys import BudgetBody
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.entrypoints.schemas.tenants import SystemStatus, Tenant, TenantBody
from modelmill_gateway.tenants.export_tenant import ExportTenant
from modelmill_gateway.tenants.manage_tenants import ManageTenants
from modelmill_gateway.tenants.show_status import ShowStatus


class TenantRoutes:
    """/v1/tenants and /v1/status."""

    def __init__(
        self, tenants: ManageTenants, export: ExportTenant, show_status: ShowStatus
    ) -> None:
        self._tenants = tenants
        self._export = export
        self._show_status = show_status

    async def get_status(self, _: Request) -> SystemStatus:
        return SystemStatus.of_status(await self._show_status())

    async def register_tenant(self, request: Request) -> Tenant:
        body = await read_body(request, TenantBody)
        return Tenant.of_shown(await self._tenants.create(body.name, caller_of(request)))

    async def list_tenants(self, request: Request) -> Page[Tenant]:
        found = self._tenants.list()
        return page(request, found, Tenant.of_shown, lambda shown: shown.state.tenant)

    async def get_tenant(self, request: Request) -> Tenant:
        return Tenant.of_shown(self._tenants.get(_name(request)))

    async def limit_tenant(self, request: Request) -> Tenant:
        limits = (await read_body(request, BudgetBody)).limits.limits()
        changed = await self._tenants.limit(_name(request), limits, caller_of(request))
        return Tenant.of_shown(changed)

    async def suspend_tenant(self, request: Request) -> Tenant:
        return Tenant.of_shown(await self._tenants.suspend(_name(request), caller_of(request)))

    async def resume_tenant(self, request: Request) -> Tenant:
        return Tenant.of_shown(await self._tenants.resume(_name(request), caller_of(request)))

    async def export_tenant(self, request: Request) -> Response:
        name = _name(request)
        return await download(self._export(name), f"{name}.tar", "application/x-tar")

    async def delete_tenant(self, request: Request) -> Tenant:
        return Tenant.of_shown(await self._tenants.delete(_name(request), caller_of(request)))


def _name(request: Request) -> str:
    return str(request.path_params["tenant"])
