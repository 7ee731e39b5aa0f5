"""modelmill.trainer.v1 over gRPC: unpack, call the use case, pack. No rules live here."""

from typing import Any

import grpc
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.subjects import token

from modelmill_trainer.create_evaluation_job import CreateEvaluationJob
from modelmill_trainer.create_fine_tuning_job import CreateFineTuningJob
from modelmill_trainer.entrypoints.evaluation_rpcs import EvaluationServicer
from modelmill_trainer.list_step_figures import ListStepFigures
from modelmill_trainer.read_evaluation import ReadEvaluation
from modelmill_trainer.retire_model import RetireModel


class TrainerServicer(EvaluationServicer):
    def __init__(
        self,
        create_fine_tuning_job: CreateFineTuningJob,
        list_step_figures: ListStepFigures,
        retire_model: RetireModel,
        create_evaluation_job: CreateEvaluationJob,
        read_evaluation: ReadEvaluation,
    ) -> None:
        super().__init__(create_evaluation_job, read_evaluation)
        self._create_fine_tuning_job = create_fine_tuning_job
        self._list_step_figures = list_step_figures
        self._retire_model = retire_model

    async def CreateFineTuningJob(
        self, request: pb.CreateFineTuningJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.CreateFineTuningJobResponse:
        accepted = await self._create_fine_tuning_job(
            tenant=token(request.tenant, "tenant"),
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
            priority=request.priority,
        )
        return pb.CreateFineTuningJobResponse(job_id=accepted.job_id, sequence=accepted.sequence)

    async def ListStepFigures(
        self, request: pb.ListStepFiguresRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListStepFiguresResponse:
        steps = await self._list_step_figures(
            tenant=token(request.tenant, "tenant"),
            job_id=request.job_id,
            after_step=request.after_step if request.HasField("after_step") else None,
        )
        return pb.ListStepFiguresResponse(
            steps=[pb.StepFigures(step=each.step, metrics=each.metrics) for each in steps]
        )

    async def RetireModel(
        self, request: pb.RetireModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RetireModelResponse:
        retired = await self._retire_model(
            tenant=token(request.tenant, "tenant"),
            version_id=request.version_id,
            requested_by=request.requested_by,
        )
        return pb.RetireModelResponse(version_ids=retired.version_ids, sequence=retired.sequence)
