"""modelmill.optimizer_builder.v1 over gRPC: unpack, call the use case, pack. No rules live here."""

from typing import Any

import grpc
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2 as pb
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2_grpc as pb_grpc
from modelmill_bus.subjects import token

from modelmill_optimizer_builder.create_build import CreateBuild


class OptimizerBuilderServicer(pb_grpc.OptimizerBuilderServiceServicer):
    def __init__(self, create_build: CreateBuild) -> None:
        self._create_build = create_build

    async def CreateBuild(
        self, request: pb.CreateBuildRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.CreateBuildResponse:
        job = await self._create_build(
            tenant=token(request.tenant, "tenant"),
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
            priority=request.priority,
        )
        return pb.CreateBuildResponse(job_id=job.job_id, sequence=job.sequence)
