"""modelmill.optimizer_builder.v1 over gRPC: unpack, call the use case, pack. No rules live here."""

from typing import Any

import grpc
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2 as pb
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2_grpc as pb_grpc
from modelmill_bus.subjects import token
from modelmill_jobs.sizes import as_resources
from modelmill_service_kit.machine_size import MachineSize

from modelmill_optimizer_builder.check_build_spec import CheckBuildSpec
from modelmill_optimizer_builder.create_build import CreateBuild


class OptimizerBuilderServicer(pb_grpc.OptimizerBuilderServiceServicer):
    """RPCs for builds and searches.

    Args:
        machine: The worker size as far as this process knows.
    """

    def __init__(
        self, create_build: CreateBuild, check_spec: CheckBuildSpec, machine: MachineSize
    ) -> None:
        self._create_build = create_build
        self._check_spec = check_spec
        self._machine = machine

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

    async def SizeBuild(
        self, request: pb.SizeBuildRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.SizeBuildResponse:
        checked = await self._check_spec(token(request.tenant, "tenant"), request.spec)
        return pb.SizeBuildResponse(
            spec=checked.spec,
            test_rows=checked.test_rows,
            built_bytes=checked.built_bytes,
            needs=as_resources(checked.needs),
            worker=as_resources(self._machine),
        )
