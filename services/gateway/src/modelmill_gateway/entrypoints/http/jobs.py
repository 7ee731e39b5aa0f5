"""Jobs of every kind: shown, followed and controlled."""

from collections.abc import Callable, Sequence
from typing import Any

from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JobDesiredState,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_bus.kinds import EVALUATE, OPTIMIZE
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_service_kit.nearest import no_such
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.entrypoints.http.downloads import report
from modelmill_gateway.entrypoints.http.job_event_replies import JobEventReplies
from modelmill_gateway.entrypoints.http.requests import (
    Handler,
    caller_of,
    idempotency_key_of,
    page,
)
from modelmill_gateway.entrypoints.schemas.base import Page, ResponseModel
from modelmill_gateway.entrypoints.schemas.evaluations import Evaluation, EvaluationBody
from modelmill_gateway.entrypoints.schemas.jobs import Job
from modelmill_gateway.entrypoints.schemas.optimizations import Optimization, OptimizationBody
from modelmill_gateway.entrypoints.schemas.parsing import JobBody, read_body
from modelmill_gateway.entrypoints.schemas.queries import EvaluationReportQuery, JobQuery
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.create_job import CreateJob
from modelmill_gateway.ports import Trainer


class JobsOfKind:
    """Jobs of one kind, or of all: listed, shown and controlled alike.

    Args:
        kind: None for all.
        what: what they are called where there is none.
        model: what one is shown as.
    """

    def __init__(
        self,
        jobs: JobIndex,
        control_job: ControlJob,
        kind: str | None,
        what: str,
        model: Callable[[JobRecord], ResponseModel],
    ) -> None:
        self._jobs = jobs
        self._control_job = control_job
        self._kind = kind
        self._what = what
        self._model = model

    def record(self, request: Request) -> JobRecord:
        """The job that the path names.

        Raises:
            NotFoundError: no such job, another tenant's, or of another kind.
        """
        job_id = request.path_params["job_id"]
        record = self._jobs.get(caller_of(request).tenant, job_id)
        if self._kind not in (None, record.requested.kind):
            raise no_such(self._what, job_id, f"/v1/jobs?kind={self._kind}")
        return record

    async def get(self, request: Request) -> ResponseModel:
        """The job that the path names."""
        return self._model(self.record(request))

    async def list(self, request: Request) -> Page[Any]:
        """All of the tenant's."""
        return self.page(request, self._jobs.list(caller_of(request).tenant, self._kind))

    def page(self, request: Request, records: Sequence[JobRecord]) -> Page[Any]:
        """Some jobs in a page."""
        return page(request, records, self._model, lambda job: job.requested.job_id)

    def control(self, desired_state: JobDesiredState.ValueType) -> Handler:
        """A handler that asks for a state."""

        async def handler(request: Request) -> ResponseModel:
            job_id, caller = self.record(request).requested.job_id, caller_of(request)
            return self._model(await self._control_job(job_id, desired_state, caller))

        return handler


def creating(
    create_job: CreateJob[Any], kind: type[JobBody], model: Callable[[JobRecord], ResponseModel]
) -> Handler:
    """A handler that orders a job, and shows it by `model`."""

    async def handler(request: Request) -> ResponseModel:
        body = await read_body(request, kind)
        key = idempotency_key_of(request)
        record = await create_job(body.spec(), caller_of(request), key, body.job_priority)
        return model(record)

    return handler


class JobRoutes:
    """/v1/jobs."""

    def __init__(self, control_job: ControlJob, events: JobEventReplies, jobs: JobIndex) -> None:
        self._events = events
        self._jobs = jobs
        self._all = JobsOfKind(jobs, control_job, None, "job", Job.of_record)
        self.get_job = self._all.get
        self.cancel_job = self._all.control(JOB_DESIRED_STATE_CANCEL)
        self.pause_job = self._all.control(JOB_DESIRED_STATE_PAUSE)
        self.resume_job = self._all.control(JOB_DESIRED_STATE_RUN)

    async def list_jobs(self, request: Request) -> Page[Any]:
        kind = JobQuery.of(request.query_params).kind
        return self._all.page(request, self._jobs.list(caller_of(request).tenant, kind))

    async def list_job_events(self, request: Request) -> Response | ResponseModel:
        return await self._events.reply(request, self._all.record(request), "job.event")


class OptimizationRoutes:
    """/v1/optimizations: smaller, faster forms of a model, scored before they are offered."""

    def __init__(
        self, create_job: CreateJob[BuildSpec], control_job: ControlJob, jobs: JobIndex
    ) -> None:
        builds = JobsOfKind(jobs, control_job, OPTIMIZE, "optimization", Optimization.of_record)
        self.create_optimization = creating(create_job, OptimizationBody, Optimization.of_record)
        self.list_optimizations = builds.list
        self.get_optimization = builds.get
        self.cancel_optimization = builds.control(JOB_DESIRED_STATE_CANCEL)


class EvaluationRoutes:
    """/v1/evaluations: how good a model is, and what the figures come from."""

    def __init__(
        self,
        create_job: CreateJob[EvaluationSpec],
        control_job: ControlJob,
        jobs: JobIndex,
        trainer: Trainer,
    ) -> None:
        self._trainer = trainer
        self._jobs = JobsOfKind(jobs, control_job, EVALUATE, "evaluation", Evaluation.of_record)
        self.create_evaluation = creating(create_job, EvaluationBody, Evaluation.of_record)
        self.list_evaluations = self._jobs.list
        self.get_evaluation = self._jobs.get
        self.cancel_evaluation = self._jobs.control(JOB_DESIRED_STATE_CANCEL)

    async def get_evaluation_report(self, request: Request) -> Response:
        wanted = EvaluationReportQuery.of(request.query_params).format
        job_id, tenant = self._jobs.record(request).requested.job_id, caller_of(request).tenant
        chunks = self._trainer.read_evaluation(tenant=tenant, job_id=job_id, wanted=wanted)
        return await report(chunks, job_id, wanted)
