"""A full disk of the broker is reported over HTTP and gRPC, with what to do."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused
from gateway_support.house import BUILD, House
from gateway_support.job_orders import upload
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill_testkit.waiting import eventually

SAID = "disk is full. Free space on the broker's disk"


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.own_broker
async def test_a_full_disk_of_the_brokers_is_no_silence_and_passes(own_house: House):
    client = own_house.http(tenant="full")
    order = {"model": "tiny", "training_file": await upload(client)}
    with full_disk(own_house.nats.pid):
        for method, path, body in (
            ("POST", "/v1/fine_tuning/jobs", order),  # refused by a neighbour
            ("PUT", "/v1/aliases/prod", {"version_id": BUILD}),  # by ourselves
        ):
            answer = await client.request(method, path, json=body)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (503, "broker_disk_full"), path
            assert SAID in error["message"]
            assert float(answer.headers["retry-after"]) >= 10
        async with grpc_stub(own_house, tenant="full") as stub:
            build = pb.CreateOptimizationRequest(spec=BuildSpec(source_version_id="default"))
            async with refused(grpc.StatusCode.UNAVAILABLE, SAID):
                await stub.CreateOptimization(build, timeout=CALL_SECONDS)
    own_house.nats.kill()
    await own_house.nats.start()

    async def accepted() -> bool:
        return (await client.post("/v1/fine_tuning/jobs", json=order)).is_success

    await eventually(accepted)
