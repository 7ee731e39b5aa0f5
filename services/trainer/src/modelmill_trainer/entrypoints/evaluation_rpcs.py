"""The RPCs of evaluations: unpack, call the use case, pack. No rules live here."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from modelmill.trainer.v1 import evaluation_pb2 as pb
from modelmill.trainer.v1.trainer_service_pb2_grpc import TrainerServiceServicer
from modelmill_bus.subjects import token

from modelmill_trainer.create_evaluation_job import CreateEvaluationJob
from modelmill_trainer.read_evaluation import ReadEvaluation

Context = grpc.aio.ServicerContext[Any, Any]


class EvaluationServicer(TrainerServiceServicer):
    """Evaluation RPCs of TrainerService."""

    def __init__(self, create: CreateEvaluationJob, read: ReadEvaluation) -> None:
        self._create_evaluation_job = create
        self._read_evaluation = read

    async def CreateEvaluationJob(
        self, request: pb.CreateEvaluationJobRequest, context: Context
    ) -> pb.CreateEvaluationJobResponse:
        accepted = await self._create_evaluation_job(
            tenant=token(request.tenant, "tenant"),
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
            priority=request.priority,
        )
        return pb.CreateEvaluationJobResponse(job_id=accepted.job_id, sequence=accepted.sequence)

    async def DownloadEvaluation(
        self, request: pb.DownloadEvaluationRequest, context: Context
    ) -> AsyncIterator[pb.DownloadEvaluationResponse]:
        chunks = self._read_evaluation(
            tenant=token(request.tenant, "tenant"), job_id=request.job_id, wanted=request.format
        )
        async for chunk in chunks:
            yield pb.DownloadEvaluationResponse(chunk=chunk)
