"""Builds: smaller, faster forms of a model, scored before they are offered."""

from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill_bus.kinds import OPTIMIZE
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.entrypoints.http.jobs import Jobs, job_of
from modelmill_gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.schemas.parsing import (
    PRIORITIES,
    PRIORITY_MEANING,
    Priority,
    StrictBody,
    read_body,
)
from modelmill_gateway.entrypoints.views.job_views import optimization_view
from modelmill_gateway.entrypoints.views.pages import page_view
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.create_optimization import DEFAULT_FORM, CreateOptimization

WHAT = "optimization"


class OptimizationBody(StrictBody):
    """Request body of POST /v1/optimizations."""

    model: str = Field(
        min_length=1,
        max_length=256,
        description="Alias, version id or name; a build stands for what it was made from.",
    )
    target_form: str = Field(DEFAULT_FORM, min_length=1, max_length=64)
    dataset_id: str = Field(
        "",
        max_length=128,
        description="Dataset whose test split scores the model before and after.",
    )
    max_accuracy_loss: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "Largest accepted loss of accuracy; a build that loses more is refused. 0 means 0.02."
        ),
    )
    max_rows: int = Field(0, ge=0, lt=2**32, description="Maximum test rows to score; 0 means all.")
    priority: Priority = Field("normal", description=PRIORITY_MEANING)


class OptimizationRoutes:
    """/v1/optimizations."""

    def __init__(
        self, create_optimization: CreateOptimization, control_job: ControlJob, jobs: Jobs
    ) -> None:
        self._create_optimization = create_optimization
        self._control_job = control_job
        self._jobs = jobs

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "create_optimization": self._post,
            "list_optimizations": self._list,
            "get_optimization": self._get,
            "cancel_optimization": self._cancel,
        }

    async def _post(self, request: Request) -> Response:
        body = await read_body(request, OptimizationBody)
        spec = BuildSpec(
            source_version_id=body.model,
            target_form=body.target_form,
            dataset_id=body.dataset_id,
            max_accuracy_loss=body.max_accuracy_loss,
            max_rows=body.max_rows,
        )
        record = await self._create_optimization(
            spec, caller_of(request), idempotency_key_of(request), PRIORITIES[body.priority]
        )
        return json_response(optimization_view(record), 202)

    async def _list(self, request: Request) -> Response:
        records = self._jobs.list(caller_of(request).tenant, OPTIMIZE)
        page = page_of(records, page_request_of(request), lambda job: job.requested.job_id)
        return json_response(page_view(page, optimization_view))

    async def _get(self, request: Request) -> Response:
        return json_response(optimization_view(job_of(request, self._jobs, OPTIMIZE, WHAT)))

    async def _cancel(self, request: Request) -> Response:
        job = job_of(request, self._jobs, OPTIMIZE, WHAT)
        caller = caller_of(request)
        record = await self._control_job(job.requested.job_id, JOB_DESIRED_STATE_CANCEL, caller)
        return json_response(optimization_view(record))
