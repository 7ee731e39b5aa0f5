"""Evaluations over gRPC."""

from collections.abc import AsyncGenerator
from typing import Protocol

from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_job_index.index import JobRecord

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.gate import Handlers
from modelmill_gateway.entrypoints.grpc.messages import checked_key, job_message
from modelmill_gateway.entrypoints.http.evaluations import ReadsEvaluations


class CreatesEvaluations(Protocol):
    """See `modelmill_gateway.ordering.create_evaluation.CreateEvaluation`."""

    async def __call__(
        self,
        spec: EvaluationSpec,
        caller: Caller,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> JobRecord: ...


class EvaluationProcedures:
    """CreateEvaluation and DownloadEvaluation."""

    def __init__(
        self, create_evaluation: CreatesEvaluations, evaluations: ReadsEvaluations
    ) -> None:
        self._create_evaluation = create_evaluation
        self._evaluations = evaluations

    def handlers(self) -> Handlers:
        """By the names of the service's descriptor."""
        return {"CreateEvaluation": self._create, "DownloadEvaluation": self._download}

    async def _create(
        self, request: pb.CreateEvaluationRequest, call: RequestContext
    ) -> pb.CreateEvaluationResponse:
        key = checked_key(request.idempotency_key)
        record = await self._create_evaluation(request.spec, call.caller, key, request.priority)
        return pb.CreateEvaluationResponse(job=job_message(record))

    async def _download(
        self, request: pb.DownloadEvaluationRequest, call: RequestContext
    ) -> AsyncGenerator[pb.DownloadEvaluationResponse]:
        chunks = self._evaluations.read(
            tenant=call.caller.tenant, job_id=request.job_id, wanted=request.format or "json"
        )
        async for chunk in chunks:
            yield pb.DownloadEvaluationResponse(chunk=chunk)
