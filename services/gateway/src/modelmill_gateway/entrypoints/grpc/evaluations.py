"""Evaluations over gRPC."""

from collections.abc import AsyncGenerator

from modelmill.gateway.v1 import gateway_service_pb2 as pb

from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.messages import checked_key, job_message
from modelmill_gateway.entrypoints.http.evaluations import ReadsEvaluations
from modelmill_gateway.ordering.create_evaluation import CreateEvaluation


class EvaluationProcedures:
    """CreateEvaluation and DownloadEvaluation."""

    def __init__(self, create_evaluation: CreateEvaluation, evaluations: ReadsEvaluations) -> None:
        self._create_evaluation = create_evaluation
        self._evaluations = evaluations

    async def CreateEvaluation(
        self, request: pb.CreateEvaluationRequest, call: RequestContext
    ) -> pb.CreateEvaluationResponse:
        key = checked_key(request.idempotency_key)
        record = await self._create_evaluation(request.spec, call.caller, key, request.priority)
        return pb.CreateEvaluationResponse(job=job_message(record))

    async def DownloadEvaluation(
        self, request: pb.DownloadEvaluationRequest, call: RequestContext
    ) -> AsyncGenerator[pb.DownloadEvaluationResponse]:
        chunks = self._evaluations.read(
            tenant=call.caller.tenant, job_id=request.job_id, wanted=request.format or "json"
        )
        async for chunk in chunks:
            yield pb.DownloadEvaluationResponse(chunk=chunk)
