"""Jobs over gRPC: ordered, shown, steered and watched."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JOB_PRIORITY_NORMAL,
    JobDesiredState,
    JobPriority,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill.trainer.v1.trainer_service_pb2 import TRAINING_OBJECTIVE_ANSWERS, TrainSpec
from modelmill_bus.kinds import KINDS, dataset_id_of
from modelmill_job_index.index import JobIndex
from modelmill_service_kit.errors import InvalidInputError, UnavailableError

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.messages import (
    build_estimate_message,
    estimate_message,
    evaluation_estimate_message,
    event_message,
    idempotency_key_of,
    job_message,
    page_request,
)
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.create_fine_tuning_job import CreateFineTuningJob
from modelmill_gateway.ordering.estimate_build import EstimateBuild
from modelmill_gateway.ordering.estimate_evaluation import EstimateEvaluation
from modelmill_gateway.ordering.estimate_training import EstimateTraining
from modelmill_gateway.ordering.fine_tuning_order import FineTuningOrder
from modelmill_gateway.ordering.order_job import CreateJob
from modelmill_gateway.ordering.read_job_metrics import (
    DEFAULT_POINTS,
    MAX_POINTS,
    MIN_POINTS,
    JobMetrics,
    MetricRange,
    ReadJobMetrics,
)
from modelmill_gateway.ordering.watch_job import SealedEventIds, WatchJob
from modelmill_gateway.ports import Trainer


class OrderProcedures:
    """CreateDataset, CreateFineTuningJob, CreateOptimization and CreateEvaluation, an estimate of
    all but the first, DownloadEvaluation and ListEvaluationRows."""

    def __init__(
        self,
        create_dataset: CreateJob[DatasetSpec],
        create_fine_tuning_job: CreateFineTuningJob,
        estimate_training: EstimateTraining,
        create_optimization: CreateJob[BuildSpec],
        estimate_build: EstimateBuild,
        create_evaluation: CreateJob[EvaluationSpec],
        estimate_evaluation: EstimateEvaluation,
        trainer: Trainer,
    ) -> None:
        self._create_dataset = create_dataset
        self._create_fine_tuning_job = create_fine_tuning_job
        self._estimate_training = estimate_training
        self._create_optimization = create_optimization
        self._estimate_build = estimate_build
        self._create_evaluation = create_evaluation
        self._estimate_evaluation = estimate_evaluation
        self._trainer = trainer

    async def CreateDataset(
        self, request: pb.CreateDatasetRequest, call: RequestContext
    ) -> pb.CreateDatasetResponse:
        job = await _ordered(self._create_dataset, request, call)
        return pb.CreateDatasetResponse(job=job, dataset_id=dataset_id_of(job.id))

    async def CreateFineTuningJob(
        self, request: pb.CreateFineTuningJobRequest, call: RequestContext
    ) -> pb.CreateFineTuningJobResponse:
        key = idempotency_key_of(request)
        record = await self._create_fine_tuning_job(
            _order(request.spec, request.priority), call.caller, key
        )
        return pb.CreateFineTuningJobResponse(job=job_message(record))

    async def EstimateFineTuning(
        self, request: pb.EstimateFineTuningRequest, call: RequestContext
    ) -> pb.EstimateFineTuningResponse:
        order = _order(request.spec, JOB_PRIORITY_NORMAL)
        return estimate_message(await self._estimate_training(order, call.caller))

    async def CreateOptimization(
        self, request: pb.CreateOptimizationRequest, call: RequestContext
    ) -> pb.CreateOptimizationResponse:
        job = await _ordered(self._create_optimization, request, call)
        return pb.CreateOptimizationResponse(job=job)

    async def EstimateOptimization(
        self, request: pb.EstimateOptimizationRequest, call: RequestContext
    ) -> pb.EstimateOptimizationResponse:
        return build_estimate_message(await self._estimate_build(request.spec, call.caller))

    async def EstimateEvaluation(
        self, request: pb.EstimateEvaluationRequest, call: RequestContext
    ) -> pb.EstimateEvaluationResponse:
        estimate = await self._estimate_evaluation(request.spec, call.caller)
        return evaluation_estimate_message(estimate)

    async def CreateEvaluation(
        self, request: pb.CreateEvaluationRequest, call: RequestContext
    ) -> pb.CreateEvaluationResponse:
        job = await _ordered(self._create_evaluation, request, call)
        return pb.CreateEvaluationResponse(job=job)

    async def DownloadEvaluation(
        self, request: pb.DownloadEvaluationRequest, call: RequestContext
    ) -> AsyncGenerator[pb.DownloadEvaluationResponse]:
        chunks = self._trainer.read_evaluation(
            tenant=call.caller.tenant, job_id=request.job_id, wanted=request.format or "json"
        )
        async for chunk in chunks:
            yield pb.DownloadEvaluationResponse(chunk=chunk)

    async def ListEvaluationRows(
        self, request: pb.ListEvaluationRowsRequest, call: RequestContext
    ) -> pb.ListEvaluationRowsResponse:
        found = await self._trainer.list_evaluation_rows(
            tenant=call.caller.tenant,
            job_id=request.job_id,
            after=request.after,
            limit=page_request("", request.limit).limit,
            wanted=request.filter,
        )
        return pb.ListEvaluationRowsResponse(rows=found.rows, has_more=found.has_more)


async def _ordered(create_job: CreateJob[Any], request: Any, call: RequestContext) -> pb.Job:
    key = idempotency_key_of(request)
    return job_message(await create_job(request.spec, call.caller, key, request.priority))


class JobProcedures:
    """ListJobs, GetJob, GetJobMetrics, CancelJob, PauseJob, ResumeJob and WatchJob.

    Args:
        stopping: set when the process is to end; who watches then hears it at once.
    """

    def __init__(
        self,
        control_job: ControlJob,
        watch_job: WatchJob,
        ids: SealedEventIds,
        read_job_metrics: ReadJobMetrics,
        jobs: JobIndex,
        stopping: asyncio.Event,
    ) -> None:
        self._control_job = control_job
        self._watch_job = watch_job
        self._ids = ids
        self._read_job_metrics = read_job_metrics
        self._jobs = jobs
        self._stopping = stopping

    async def ListJobs(
        self, request: pb.ListJobsRequest, call: RequestContext
    ) -> pb.ListJobsResponse:
        if request.kind and request.kind not in KINDS:
            raise BadRequestError(f"kind must be one of {', '.join(KINDS)}", param="kind")
        wanted = page_request(request.after, request.limit)
        records = self._jobs.list(call.caller.tenant, request.kind or None)
        page = page_of(records, wanted, lambda record: record.requested.job_id)
        jobs = [job_message(record) for record in page.items]
        return pb.ListJobsResponse(jobs=jobs, has_more=page.has_more)

    async def GetJob(self, request: pb.GetJobRequest, call: RequestContext) -> pb.GetJobResponse:
        record = self._jobs.get(call.caller.tenant, request.job_id)
        return pb.GetJobResponse(job=job_message(record))

    async def GetJobMetrics(
        self, request: pb.GetJobMetricsRequest, call: RequestContext
    ) -> pb.GetJobMetricsResponse:
        points = request.points or DEFAULT_POINTS
        if not MIN_POINTS <= points <= MAX_POINTS:
            message = f"points must be between {MIN_POINTS} and {MAX_POINTS:,}"
            raise BadRequestError(message, param="points")
        last = request.to_step if request.HasField("to_step") else None
        wanted = MetricRange(request.from_step, last, request.names)
        metrics = await self._read_job_metrics(call.caller.tenant, request.job_id, wanted)
        series = await asyncio.to_thread(_series_of, metrics, points)
        return pb.GetJobMetricsResponse(series=series, is_complete=metrics.is_complete)

    async def CancelJob(
        self, request: pb.CancelJobRequest, call: RequestContext
    ) -> pb.CancelJobResponse:
        return pb.CancelJobResponse(
            job=await self._steered(request, JOB_DESIRED_STATE_CANCEL, call)
        )

    async def PauseJob(
        self, request: pb.PauseJobRequest, call: RequestContext
    ) -> pb.PauseJobResponse:
        return pb.PauseJobResponse(job=await self._steered(request, JOB_DESIRED_STATE_PAUSE, call))

    async def ResumeJob(
        self, request: pb.ResumeJobRequest, call: RequestContext
    ) -> pb.ResumeJobResponse:
        return pb.ResumeJobResponse(job=await self._steered(request, JOB_DESIRED_STATE_RUN, call))

    async def _steered(
        self, request: Any, desired_state: JobDesiredState.ValueType, call: RequestContext
    ) -> pb.Job:
        return job_message(await self._control_job(request.job_id, desired_state, call.caller))

    async def WatchJob(
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


def _series_of(metrics: JobMetrics, points: int) -> list[pb.JobMetricSeries]:
    shown = ((key, series, series.sampled(points)) for key, series in metrics.series.items())
    return [
        pb.JobMetricSeries(
            name=key.name,
            phase=key.phase,
            total=len(series),
            is_sampled=some.is_sampled,
            steps=some.steps,
            values=some.values,
        )
        for key, series, some in shown
    ]


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
