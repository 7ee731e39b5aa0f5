"""modelmill.jobs.v1.JobService over gRPC: unpack, call the use case, pack."""

from typing import Any

import grpc
from modelmill.jobs.v1 import job_service_pb2 as pb
from modelmill.jobs.v1 import job_service_pb2_grpc as pb_grpc

from modelmill_jobs.control import ControlJob
from modelmill_jobs.subjects import token


class JobServicer(pb_grpc.JobServiceServicer):
    """What every service that owns jobs adds to its server."""

    def __init__(self, control_job: ControlJob) -> None:
        self._control_job = control_job

    async def ControlJob(
        self, request: pb.ControlJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ControlJobResponse:
        sequence = await self._control_job(
            tenant=token(request.tenant, "tenant"),
            job_id=request.job_id,
            wish=request.wish,
            requested_by=request.requested_by,
        )
        return pb.ControlJobResponse(sequence=sequence)
