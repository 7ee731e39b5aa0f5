"""The trainer's evaluations: ordered, and read when they are done."""

from collections.abc import AsyncIterator

import grpc
from modelmill.trainer.v1 import evaluation_pb2 as pb
from modelmill.trainer.v1.trainer_service_pb2_grpc import TrainerServiceStub
from modelmill_service_kit.grpc_client import domain_errors

from modelmill_gateway.adapters.data_prep import TRANSFER_SECONDS
from modelmill_gateway.adapters.trainer import PEER


class GrpcEvaluations:
    """The trainer behind its gRPC port."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = TrainerServiceStub(channel)

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
