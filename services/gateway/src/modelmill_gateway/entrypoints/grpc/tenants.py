"""Tenants, for operators, over gRPC."""

from collections.abc import AsyncGenerator
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_events_pb2 import Limits
from modelmill_job_index.entry import HeldJob

from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.messages import page_request
from modelmill_gateway.entrypoints.schemas.keys import BudgetBody, money
from modelmill_gateway.entrypoints.schemas.parsing import parse_fields
from modelmill_gateway.entrypoints.schemas.tenants import TenantBody
from modelmill_gateway.spending.budget_book import limits_message
from modelmill_gateway.tenants.export_tenant import CHUNK_BYTES, ExportTenant
from modelmill_gateway.tenants.manage_tenants import ManageTenants, ShownTenant
from modelmill_gateway.tenants.show_status import ShowStatus


class TenantProcedures:
    """GetStatus, and the procedures of tenants. Bodies are checked by the rules of HTTP."""

    def __init__(
        self, tenants: ManageTenants, export: ExportTenant, show_status: ShowStatus
    ) -> None:
        self._tenants = tenants
        self._export = export
        self._show_status = show_status

    async def GetStatus(self, _: pb.GetStatusRequest, call: RequestContext) -> pb.GetStatusResponse:
        status = await self._show_status()
        streams = ("name", "messages", "used_bytes", "limit_bytes")
        return pb.GetStatusResponse(
            version=status.version,
            services=[pb.ServiceStatus(**vars(each)) for each in status.services],
            jobs=[pb.KindStatus(**vars(each)) for each in status.jobs],
            streams=[
                pb.StreamStatus(**{name: getattr(each, name) for name in streams})
                for each in status.streams
            ],
            waiting_requests=status.waiting_requests,
            workers=[_worker(each) for each in status.workers],
            tokens_in_hand=status.tokens_in_hand,
            tokens_limit=status.tokens_limit,
        )

    async def CreateTenant(
        self, request: pb.CreateTenantRequest, call: RequestContext
    ) -> pb.CreateTenantResponse:
        name = parse_fields({"name": request.name}, TenantBody).name
        return pb.CreateTenantResponse(tenant=_shown(await self._tenants.create(name, call.caller)))

    async def ListTenants(
        self, request: pb.ListTenantsRequest, _: RequestContext
    ) -> pb.ListTenantsResponse:
        wanted = page_request(request.after, request.limit)
        some = page_of(self._tenants.list(), wanted, lambda shown: shown.state.tenant)
        return pb.ListTenantsResponse(tenants=map(_shown, some.items), has_more=some.has_more)

    async def GetTenant(
        self, request: pb.GetTenantRequest, _: RequestContext
    ) -> pb.GetTenantResponse:
        return pb.GetTenantResponse(tenant=_shown(self._tenants.get(request.name)))

    async def LimitTenant(
        self, request: pb.LimitTenantRequest, call: RequestContext
    ) -> pb.LimitTenantResponse:
        limits = parse_fields({"limits": _fields(request.limits)}, BudgetBody).limits.limits()
        changed = await self._tenants.limit(request.name, limits, call.caller)
        return pb.LimitTenantResponse(tenant=_shown(changed))

    async def SuspendTenant(
        self, request: pb.SuspendTenantRequest, call: RequestContext
    ) -> pb.SuspendTenantResponse:
        changed = await self._tenants.suspend(request.name, call.caller)
        return pb.SuspendTenantResponse(tenant=_shown(changed))

    async def ResumeTenant(
        self, request: pb.ResumeTenantRequest, call: RequestContext
    ) -> pb.ResumeTenantResponse:
        changed = await self._tenants.resume(request.name, call.caller)
        return pb.ResumeTenantResponse(tenant=_shown(changed))

    async def ExportTenant(
        self, request: pb.ExportTenantRequest, _: RequestContext
    ) -> AsyncGenerator[pb.ExportTenantResponse]:
        async for chunk in self._export(request.name):
            for begin in range(0, len(chunk), CHUNK_BYTES):
                yield pb.ExportTenantResponse(chunk=chunk[begin : begin + CHUNK_BYTES])

    async def DeleteTenant(
        self, request: pb.DeleteTenantRequest, call: RequestContext
    ) -> pb.DeleteTenantResponse:
        going = await self._tenants.delete(request.name, call.caller)
        return pb.DeleteTenantResponse(tenant=_shown(going))


def _fields(limits: Limits) -> dict[str, Any]:
    """The limits that are set, as a body over HTTP has them."""
    said = {field.name: value for field, value in limits.ListFields()}
    micros = said.pop("micros", 0)
    return said | ({"money": money(micros)} if micros else {})


def _worker(held: HeldJob) -> pb.WorkerStatus:
    since = Timestamp()
    since.FromDatetime(held.since)
    return pb.WorkerStatus(
        worker=held.worker, kind=held.kind, job_id=held.job_id, tenant=held.tenant, since=since
    )


def _shown(shown: ShownTenant) -> pb.Tenant:
    state = shown.state
    return pb.Tenant(
        name=state.tenant,
        status=state.status,
        created_at=state.created_at if state.HasField("created_at") else None,
        changed_by=state.changed_by,
        limits=limits_message(shown.budget.limits),
        removed=state.removed,
    )
