"""modelmill.trainer.v1 over gRPC: unpack, call the use case, pack. No rules live here."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from modelmill.trainer.v1 import evaluation_pb2 as evaluation
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill.trainer.v1.trainer_service_pb2_grpc import TrainerServiceServicer
from modelmill_bus.subjects import token
from modelmill_jobs.sizes import as_resources

from modelmill_trainer.create_evaluation_job import CreateEvaluationJob
from modelmill_trainer.create_fine_tuning_job import CreateFineTuningJob
from modelmill_trainer.entrypoints.evaluation_rows import filter_of, page_message
from modelmill_trainer.list_evaluation_rows import ListEvaluationRows
from modelmill_trainer.list_step_figures import ListStepFigures
from modelmill_trainer.read_evaluation import ReadEvaluation
from modelmill_trainer.retire_model import RetireModel
from modelmill_trainer.size_evaluation import SizeEvaluation
from modelmill_trainer.size_training import SizedTraining, SizeTraining
from modelmill_trainer.stream_step_metrics import StreamStepMetrics

Context = grpc.aio.ServicerContext[Any, Any]


class TrainerServicer(TrainerServiceServicer):
    def __init__(
        self,
        create_fine_tuning_job: CreateFineTuningJob,
        size_training: SizeTraining,
        list_step_figures: ListStepFigures,
        stream_step_metrics: StreamStepMetrics,
        retire_model: RetireModel,
        create_evaluation_job: CreateEvaluationJob,
        size_evaluation: SizeEvaluation,
        read_evaluation: ReadEvaluation,
        list_evaluation_rows: ListEvaluationRows,
    ) -> None:
        self._create_fine_tuning_job = create_fine_tuning_job
        self._size_training = size_training
        self._list_step_figures = list_step_figures
        self._stream_step_metrics = stream_step_metrics
        self._retire_model = retire_model
        self._create_evaluation_job = create_evaluation_job
        self._size_evaluation = size_evaluation
        self._read_evaluation = read_evaluation
        self._list_evaluation_rows = list_evaluation_rows

    async def CreateFineTuningJob(
        self, request: pb.CreateFineTuningJobRequest, context: Context
    ) -> pb.CreateFineTuningJobResponse:
        accepted = await self._create_fine_tuning_job(
            tenant=token(request.tenant, "tenant"),
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
            priority=request.priority,
        )
        return pb.CreateFineTuningJobResponse(job_id=accepted.job_id, sequence=accepted.sequence)

    async def SizeFineTuningJob(
        self, request: pb.SizeFineTuningJobRequest, context: Context
    ) -> pb.SizeFineTuningJobResponse:
        return _size_message(
            await self._size_training(token(request.tenant, "tenant"), request.spec)
        )

    async def ListStepFigures(
        self, request: pb.ListStepFiguresRequest, context: Context
    ) -> pb.ListStepFiguresResponse:
        steps = await self._list_step_figures(
            tenant=token(request.tenant, "tenant"),
            job_id=request.job_id,
            after_step=request.after_step if request.HasField("after_step") else None,
        )
        return pb.ListStepFiguresResponse(
            steps=[pb.StepFigures(step=each.step, metrics=each.metrics) for each in steps]
        )

    async def StreamStepMetrics(
        self, request: pb.StreamStepMetricsRequest, context: Context
    ) -> AsyncIterator[pb.StreamStepMetricsResponse]:
        blocks = self._stream_step_metrics(
            tenant=token(request.tenant, "tenant"), job_id=request.job_id
        )
        async for columns in blocks:
            yield pb.StreamStepMetricsResponse(
                columns=[
                    pb.StepMetricColumn(name=name, steps=column.steps, values=column.values)
                    for name, column in columns.items()
                ]
            )

    async def RetireModel(
        self, request: pb.RetireModelRequest, context: Context
    ) -> pb.RetireModelResponse:
        retired = await self._retire_model(
            tenant=token(request.tenant, "tenant"),
            version_id=request.version_id,
            requested_by=request.requested_by,
        )
        return pb.RetireModelResponse(version_ids=retired.version_ids, sequence=retired.sequence)

    async def CreateEvaluationJob(
        self, request: evaluation.CreateEvaluationJobRequest, context: Context
    ) -> evaluation.CreateEvaluationJobResponse:
        accepted = await self._create_evaluation_job(
            tenant=token(request.tenant, "tenant"),
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
            priority=request.priority,
        )
        return evaluation.CreateEvaluationJobResponse(
            job_id=accepted.job_id, sequence=accepted.sequence
        )

    async def SizeEvaluationJob(
        self, request: evaluation.SizeEvaluationJobRequest, context: Context
    ) -> evaluation.SizeEvaluationJobResponse:
        sized = await self._size_evaluation(token(request.tenant, "tenant"), request.spec)
        return evaluation.SizeEvaluationJobResponse(
            spec=sized.spec,
            dataset_rows=sized.dataset_rows,
            needs=as_resources(sized.needs),
            worker=as_resources(sized.worker),
        )

    async def DownloadEvaluation(
        self, request: evaluation.DownloadEvaluationRequest, context: Context
    ) -> AsyncIterator[evaluation.DownloadEvaluationResponse]:
        chunks = self._read_evaluation(
            tenant=token(request.tenant, "tenant"), job_id=request.job_id, wanted=request.format
        )
        async for chunk in chunks:
            yield evaluation.DownloadEvaluationResponse(chunk=chunk)

    async def ListEvaluationRows(
        self, request: evaluation.ListEvaluationRowsRequest, context: Context
    ) -> evaluation.ListEvaluationRowsResponse:
        page = await self._list_evaluation_rows(
            tenant=token(request.tenant, "tenant"),
            job_id=request.job_id,
            after=request.after,
            limit=request.limit,
            wanted=filter_of(request.filter),
        )
        return page_message(page)


def _size_message(sized: SizedTraining) -> pb.SizeFineTuningJobResponse:
    message = pb.SizeFineTuningJobResponse(
        spec=sized.spec,
        train_rows=sized.train_rows,
        test_rows=sized.test_rows,
        base_bytes=sized.base_bytes,
        teacher_bytes=sized.teacher_bytes,
        needs=as_resources(sized.needs),
        worker=as_resources(sized.worker),
        notes=[note.text for note in sized.notes],
        note_codes=[note.code for note in sized.notes],
    )
    if reads := sized.reads:
        message.row_tokens = reads.row_tokens
        message.epochs, message.batch_size = reads.epochs, reads.batch_size
        message.row_visits, message.trial_row_visits = reads.row_visits, reads.trial_visits
    return message
