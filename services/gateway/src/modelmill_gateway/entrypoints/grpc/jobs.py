"""Datasets, training, builds and the jobs that make them, over gRPC."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JobDesiredState,
    JobPriority,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.trainer.v1.trainer_service_pb2 import TRAINING_OBJECTIVE_ANSWERS, TrainSpec
from modelmill_bus.kinds import KINDS, dataset_id_of
from modelmill_job_index.index import JobEvent, JobRecord
from modelmill_service_kit.errors import InvalidInputError, UnavailableError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.gate import Handlers
from modelmill_gateway.entrypoints.grpc.messages import (
    checked_key,
    event_message,
    job_message,
    page_request,
)
from modelmill_gateway.ordering.create_fine_tuning_job import FineTuningOrder
from modelmill_gateway.ordering.watch_job import EventIds


class CreatesDatasets(Protocol):
    """See `modelmill_gateway.ordering.create_dataset.CreateDataset`."""

    async def __call__(
        self,
        spec: DatasetSpec,
        caller: Caller,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> JobRecord: ...


class CreatesTraining(Protocol):
    """See `modelmill_gateway.ordering.create_fine_tuning_job.CreateFineTuningJob`."""

    async def __call__(
        self, order: FineTuningOrder, caller: Caller, idempotency_key: str
    ) -> JobRecord: ...


class CreatesBuilds(Protocol):
    """See `modelmill_gateway.ordering.create_optimization.CreateOptimization`."""

    async def __call__(
        self,
        spec: BuildSpec,
        caller: Caller,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> JobRecord: ...


class SteersJobs(Protocol):
    """See `modelmill_gateway.ordering.control_job.ControlJob`."""

    async def __call__(
        self, job_id: str, desired_state: JobDesiredState.ValueType, caller: Caller
    ) -> JobRecord: ...


class WatchesJobs(Protocol):
    """See `modelmill_gateway.ordering.watch_job.WatchJob`."""

    def __call__(
        self, caller: Caller, job_id: str, after: str | None
    ) -> AsyncIterator[JobEvent]: ...


class Jobs(Protocol):
    """The list of jobs, newest first; raises NotFoundError for another tenant's."""

    def get(self, tenant: str, job_id: str) -> JobRecord: ...
    def list(self, tenant: str, kind: str | None = None) -> Sequence[JobRecord]: ...


class OrderProcedures:
    """CreateDataset, CreateFineTuningJob and CreateOptimization."""

    def __init__(
        self,
        create_dataset: CreatesDatasets,
        create_fine_tuning_job: CreatesTraining,
        create_optimization: CreatesBuilds,
    ) -> None:
        self._create_dataset = create_dataset
        self._create_fine_tuning_job = create_fine_tuning_job
        self._create_optimization = create_optimization

    def handlers(self) -> Handlers:
        """By the names of the service's descriptor."""
        return {
            "CreateDataset": self._dataset,
            "CreateFineTuningJob": self._training,
            "CreateOptimization": self._build,
        }

    async def _dataset(
        self, request: pb.CreateDatasetRequest, call: RequestContext
    ) -> pb.CreateDatasetResponse:
        key = checked_key(request.idempotency_key)
        record = await self._create_dataset(request.spec, call.caller, key, request.priority)
        dataset_id = dataset_id_of(record.requested.job_id)
        return pb.CreateDatasetResponse(job=job_message(record), dataset_id=dataset_id)

    async def _training(
        self, request: pb.CreateFineTuningJobRequest, call: RequestContext
    ) -> pb.CreateFineTuningJobResponse:
        key = checked_key(request.idempotency_key)
        record = await self._create_fine_tuning_job(
            _order(request.spec, request.priority), call.caller, key
        )
        return pb.CreateFineTuningJobResponse(job=job_message(record))

    async def _build(
        self, request: pb.CreateOptimizationRequest, call: RequestContext
    ) -> pb.CreateOptimizationResponse:
        key = checked_key(request.idempotency_key)
        record = await self._create_optimization(request.spec, call.caller, key, request.priority)
        return pb.CreateOptimizationResponse(job=job_message(record))


class JobProcedures:
    """ListJobs, GetJob, CancelJob, PauseJob, ResumeJob and WatchJob.

    Args:
        stopping: set when the process is to end; who watches then hears it at once.
    """

    def __init__(
        self,
        control_job: SteersJobs,
        watch_job: WatchesJobs,
        ids: EventIds,
        jobs: Jobs,
        stopping: asyncio.Event,
    ) -> None:
        self._control_job = control_job
        self._watch_job = watch_job
        self._ids = ids
        self._jobs = jobs
        self._stopping = stopping

    def handlers(self) -> Handlers:
        """By the names of the service's descriptor."""
        return {
            "ListJobs": self._list,
            "GetJob": self._get,
            "CancelJob": self._cancel,
            "PauseJob": self._pause,
            "ResumeJob": self._resume,
            "WatchJob": self._watch,
        }

    async def _list(self, request: pb.ListJobsRequest, call: RequestContext) -> pb.ListJobsResponse:
        if request.kind and request.kind not in KINDS:
            raise BadRequestError(f"kind must be one of {', '.join(KINDS)}", param="kind")
        wanted = page_request(request.after, request.limit)
        records = self._jobs.list(call.caller.tenant, request.kind or None)
        page = page_of(records, wanted, lambda record: record.requested.job_id)
        jobs = [job_message(record) for record in page.items]
        return pb.ListJobsResponse(jobs=jobs, has_more=page.has_more)

    async def _get(self, request: pb.GetJobRequest, call: RequestContext) -> pb.GetJobResponse:
        record = self._jobs.get(call.caller.tenant, request.job_id)
        return pb.GetJobResponse(job=job_message(record))

    async def _cancel(
        self, request: pb.CancelJobRequest, call: RequestContext
    ) -> pb.CancelJobResponse:
        record = await self._control_job(request.job_id, JOB_DESIRED_STATE_CANCEL, call.caller)
        return pb.CancelJobResponse(job=job_message(record))

    async def _pause(
        self, request: pb.PauseJobRequest, call: RequestContext
    ) -> pb.PauseJobResponse:
        record = await self._control_job(request.job_id, JOB_DESIRED_STATE_PAUSE, call.caller)
        return pb.PauseJobResponse(job=job_message(record))

    async def _resume(
        self, request: pb.ResumeJobRequest, call: RequestContext
    ) -> pb.ResumeJobResponse:
        record = await self._control_job(request.job_id, JOB_DESIRED_STATE_RUN, call.caller)
        return pb.ResumeJobResponse(job=job_message(record))

    async def _watch(
        self, request: pb.WatchJobRequest, call: RequestContext
    ) -> AsyncGenerator[pb.WatchJobResponse]:
        after = self._ids.unseal(request.job_id, request.after) if request.after else None
        events = self._watch_job(call.caller, request.job_id, after)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while True:
                step = asyncio.ensure_future(anext(events, None))
                await _first_of(step, stopping)
                event = step.result()
                if event is None:
                    return
                yield event_message(event, self._ids.seal(request.job_id, event.id))
        finally:
            stopping.cancel()


async def _first_of(step: asyncio.Future[Any], stopping: asyncio.Future[Any]) -> None:
    """Return once `step` is done.

    Raises:
        UnavailableError: the process is to end first. A stream that merely ended would say that
            the job has.
    """
    try:
        await asyncio.wait((step, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not step.done():
            raise UnavailableError("the gateway is stopping. Watch on after the last event")
    finally:
        if not step.done():
            step.cancel()


def _order(spec: TrainSpec, priority: JobPriority.ValueType) -> FineTuningOrder:
    """The order in a spec; `dataset_id` may name a file of conversations, as over HTTP.

    Raises:
        InvalidInputError: lists everything that is missing or not the caller's to say.
    """
    if errors := _errors_of(spec):
        raise InvalidInputError(errors)
    return FineTuningOrder(
        model=spec.base_version_id,
        training_file=spec.dataset_id,
        name=spec.name,
        method=spec.method,
        hyper_parameters=spec.hyper_parameters,
        objective=spec.objective or TRAINING_OBJECTIVE_ANSWERS,
        teacher=spec.teacher_version_id,
        teacher_answers=spec.teacher_answers if spec.HasField("teacher_answers") else None,
        evaluate=spec.evaluate,
        limits=spec.limits,
        validation_file=spec.validation_dataset_id,
        metadata=dict(spec.metadata),
        distribution=spec.distribution if spec.HasField("distribution") else None,
        priority=priority,
    )


def _errors_of(spec: TrainSpec) -> list[str]:
    """What is missing, or not the caller's to say."""
    errors = [
        f"{field}: must be given"
        for field, value in (
            ("base_version_id", spec.base_version_id),
            ("dataset_id", spec.dataset_id),
        )
        if not value
    ]
    if spec.dataset_job_id:
        errors.append("dataset_job_id: must be empty; the gateway finds it")
    if spec.validation_dataset_job_id:
        errors.append("validation_dataset_job_id: must be empty; the gateway finds it")
    if spec.adapter_version_id:
        errors.append("adapter_version_id: must be empty. Name the adapter as base_version_id")
    if spec.method_reason:
        errors.append("method_reason: must be empty; the trainer writes it")
    return errors
