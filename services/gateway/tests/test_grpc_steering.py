"""What gRPC answers to desired states for a job."""

import grpc
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused
from gateway_support.house import House
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDED = grpc.StatusCode.FAILED_PRECONDITION


async def test_a_cancel_is_final(house: House):
    async with grpc_stub(house, tenant="ends") as stub:
        order = pb.CreateOptimizationRequest(spec=BuildSpec(source_version_id="default"))
        job_id = (await stub.CreateOptimization(order, timeout=CALL_SECONDS)).job.id
        await stub.CancelJob(pb.CancelJobRequest(job_id=job_id), timeout=CALL_SECONDS)
        async with refused(ENDED, "cancelled, for good. Create a new job"):
            await stub.ResumeJob(pb.ResumeJobRequest(job_id=job_id), timeout=CALL_SECONDS)
