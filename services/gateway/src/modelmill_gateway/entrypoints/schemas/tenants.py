"""What operators see: tenants, and the status of the installation."""

from typing import Annotated, Literal, Self

from modelmill.gateway.v1.gateway_events_pb2 import TENANT_STATUS_DELETED, TenantStatus
from modelmill_bus.subjects import TOKEN
from pydantic import AfterValidator, Field

from modelmill_gateway.entrypoints.schemas.base import JobId, OrNull, ResponseModel, UnixSeconds
from modelmill_gateway.entrypoints.schemas.base import Tenant as TenantName
from modelmill_gateway.entrypoints.schemas.keys import BudgetUsage, KeyLimits
from modelmill_gateway.entrypoints.schemas.parsing import StrictBody
from modelmill_gateway.tenants.manage_tenants import ShownTenant
from modelmill_gateway.tenants.show_status import InstallationStatus

NAME = "acme-labs"
NAME_RULE = "1 to 63 of a-z, 0-9 and '-', and no '-' at the start"
STATUS_PREFIX = "TENANT_STATUS_"


def _as_name(name: str) -> str:
    if TOKEN.fullmatch(name) is None:
        raise ValueError(f"must be {NAME_RULE}, like {NAME}")
    return name


class TenantBody(StrictBody):
    """Request body of POST /v1/tenants."""

    name: Annotated[
        str,
        AfterValidator(_as_name),
        Field(
            json_schema_extra={"pattern": f"^{TOKEN.pattern}$"},
            description=f"{NAME_RULE}, as in the claim `tenant` of its tokens.",
            examples=[NAME],
        ),
    ]


class Tenant(ResponseModel):
    """Tenant of this installation. `created_at` is null for one that only tokens name."""

    id: str = Field(examples=[NAME])
    object: Literal["tenant"] = "tenant"
    status: Literal["active", "suspended", "deleting", "deleted"]
    created_at: UnixSeconds | None
    changed_at: UnixSeconds | None
    changed_by: OrNull[str]
    limits: KeyLimits
    usage: BudgetUsage
    removed: dict[str, int] | None = Field(
        None,
        description="Number of objects that the deletion removed, by kind; once it is done.",
        examples=[{"files": 3, "jobs": 5, "models": 2}],
    )

    @classmethod
    def of_shown(cls, shown: ShownTenant) -> Self:
        """A tenant with its limits and their use."""
        state, budget = shown.state, shown.budget
        status = TenantStatus.Name(state.status).removeprefix(STATUS_PREFIX).lower()
        report = {each.kind: each.count for each in state.removed}
        is_done = state.status == TENANT_STATUS_DELETED
        return cls.of(
            state,
            id=state.tenant,
            status="deleting" if status == "erasing" else status,
            limits=KeyLimits.of(budget.limits),
            usage=BudgetUsage.of_budget(budget),
            **({"removed": report} if is_done else {}),
        )


class ServiceState(ResponseModel):
    """Replica of a service, at an address that the gateway calls."""

    service: str = Field(examples=["trainer"])
    address: str = Field(examples=["trainer:7003"])
    status: Literal["serving", "not_serving", "unreachable"]
    version: OrNull[str] = Field(examples=["0.1.0"])


class JobCounts(ResponseModel):
    """Number of jobs of one kind, by status."""

    kind: str = Field(examples=["train"])
    counts: dict[str, int] = Field(examples=[{"queued": 2, "running": 1}])
    oldest_seconds: float = Field(
        description="Time that the longest waiting job has waited.", examples=[42.0]
    )


class WorkerState(ResponseModel):
    """Worker, and a job that it has in work."""

    worker: str = Field(
        description="Service, host and process.", examples=["trainer-gpu-1-4711-9f03ab"]
    )
    kind: str = Field(examples=["train"])
    job_id: JobId
    tenant: TenantName
    since: UnixSeconds


class StreamState(ResponseModel):
    """Stream of the message broker."""

    name: str = Field(examples=["JOBS"])
    messages: int
    used_bytes: int
    limit_bytes: int


class SystemStatus(ResponseModel):
    """Status of the installation, as one gateway sees it."""

    object: Literal["status"] = "status"
    version: str = Field(description="Release of the gateway.", examples=["0.1.0"])
    services: list[ServiceState]
    jobs: list[JobCounts]
    workers: list[WorkerState] = Field(description="Jobs in work, by worker.")
    streams: list[StreamState] = Field(description="Empty while the message broker is away.")
    waiting_requests: int = Field(description="Requests in the admission queue.")
    tokens_in_hand: int = Field(
        description="Tokens that admitted requests may come to.", examples=[12_288]
    )
    tokens_limit: int = Field(
        description="Tokens beyond which requests wait; 0 sets no limit.", examples=[65_536]
    )

    @classmethod
    def of_status(cls, status: InstallationStatus) -> Self:
        """All of it."""
        return cls.of(
            status,
            services=[ServiceState.of(each) for each in status.services],
            jobs=[JobCounts.of(each, counts=dict(each.counts)) for each in status.jobs],
            workers=[
                WorkerState.of(each, since=int(each.since.timestamp())) for each in status.workers
            ],
            streams=[StreamState.of(each) for each in status.streams],
        )
