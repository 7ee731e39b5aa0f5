"""A job's place in the queue, over gRPC."""

import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import House
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import (
    JOB_PRIORITY_HIGH,
    JOB_PRIORITY_LOW,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from test_grpc_jobs import job

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_repeat_with_another_priority_is_the_first_job_in_its_first_place(house: House):
    async with grpc_stub(house, tenant="places") as stub:
        asked = pb.CreateOptimizationRequest(
            spec=BuildSpec(source_version_id="default"),
            idempotency_key="k",
            priority=JOB_PRIORITY_LOW,
        )
        first = (await stub.CreateOptimization(asked, timeout=CALL_SECONDS)).job
        asked.priority = JOB_PRIORITY_HIGH
        again = (await stub.CreateOptimization(asked, timeout=CALL_SECONDS)).job
        urgent = pb.CreateOptimizationRequest(spec=asked.spec, priority=JOB_PRIORITY_HIGH)
        sooner = (await stub.CreateOptimization(urgent, timeout=CALL_SECONDS)).job
        waits = await job(stub, first.id)

    assert (again.id, again.priority) == (first.id, JOB_PRIORITY_LOW)
    assert 0 < sooner.queue_position < waits.queue_position
    assert not waits.HasField("estimated_start")
    assert len(waits.spec_sha256) == 64
    assert waits.cost == pb.JobCost()
