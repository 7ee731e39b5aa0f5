"""Builds: smaller, faster forms of a model, scored before they are offered."""

from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill_bus.kinds import OPTIMIZE
from modelmill_job_index.index import JobIndex
from starlette.requests import Request

from modelmill_gateway.entrypoints.http.jobs import JobsOfKind
from modelmill_gateway.entrypoints.http.requests import caller_of, idempotency_key_of
from modelmill_gateway.entrypoints.schemas.optimizations import Optimization, OptimizationBody
from modelmill_gateway.entrypoints.schemas.parsing import PRIORITIES, read_body
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.create_optimization import CreateOptimization


class OptimizationRoutes:
    """/v1/optimizations."""

    def __init__(
        self, create_optimization: CreateOptimization, control_job: ControlJob, jobs: JobIndex
    ) -> None:
        self._create_optimization = create_optimization
        builds = JobsOfKind(jobs, control_job, OPTIMIZE, "optimization", Optimization.of_record)
        self.list_optimizations = builds.list
        self.get_optimization = builds.get
        self.cancel_optimization = builds.control(JOB_DESIRED_STATE_CANCEL)

    async def create_optimization(self, request: Request) -> Optimization:
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
        return Optimization.of_record(record)
