"""The trainer's evaluations: ordered, and read when they are done."""

from collections.abc import AsyncIterator

import grpc
from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill.trainer.v1 import evaluation_pb2 as pb
from modelmill.trainer.v1.trainer_service_pb2_grpc import TrainerServiceStub
from modelmill_service_kit.grpc_client import domain_errors

from modelmill_gateway.adapters.data_prep import TRANSFER_SECONDS
from modelmill_gateway.adapters.trainer import CALL_SECONDS, PEER
from modelmill_gateway.ordering.accepted_job import AcceptedJob


class GrpcEvaluations:
    """The trainer behind its gRPC port."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = TrainerServiceStub(channel)

    async def create(
        self,
        spec: pb.EvaluationSpec,
        *,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> AcceptedJob:
        """Order an evaluation.

        Raises:
            NotFoundError: a model, the dataset or a file is unknown.
            InvalidInputError: the spec or a task is wrong; every error is listed.
            PreconditionError: no inference service can be asked.
            AlreadyExistsError: the key was used for another spec.
            UnavailableError: the bus does not answer; nothing was accepted.
        """
        request = pb.CreateEvaluationJobRequest(
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=spec,
            priority=priority,
        )
        with domain_errors(PEER):
            response = await self._stub.CreateEvaluationJob(request, timeout=CALL_SECONDS)
        return AcceptedJob(response.job_id, response.sequence)

    async def read(self, *, tenant: str, job_id: str, wanted: str) -> AsyncIterator[bytes]:
        """What it found, as the bytes come. Raises NotFoundError on the first step."""
        request = pb.DownloadEvaluationRequest(tenant=tenant, job_id=job_id, format=wanted)
        rpc = self._stub.DownloadEvaluation(request, timeout=TRANSFER_SECONDS)
        try:
            with domain_errors(PEER):
                async for response in rpc:
                    yield response.chunk
        finally:
            rpc.cancel()
