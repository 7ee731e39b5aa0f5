"""The status of the installation: what operators see of services, jobs and streams."""

from pathlib import Path

import pytest
from gateway_support.document import body_example
from gateway_support.house import House, run_house
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_gateway.domain.access import OPERATOR
from modelmill_service_kit.grpc_client import open_channel

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOWHERE = "127.0.0.1:9"
SERVICES = {"inference", "moderation", "data-prep", "trainer", "optimizer-builder"}


async def test_services_are_shown_with_their_release_and_jobs_with_their_number(house: House):
    client = house.http(tenant="orders")
    upload = {"file": ("a.jsonl", b"{}\n")}
    file = await client.post("/v1/files", files=upload, data={"purpose": "fine-tune"})
    body = (body_example("create_dataset") or {}) | {"file_id": file.json()["id"]}
    await client.post("/v1/datasets", json=body)

    shown = (await house.http(tenant="operators", scope=OPERATOR).get("/v1/status")).json()

    assert {each["service"] for each in shown["services"]} == SERVICES
    assert {each["status"] for each in shown["services"]} == {"serving"}
    assert {each["version"] for each in shown["services"]} == {shown["version"]}
    (datasets,) = [each for each in shown["jobs"] if each["kind"] == "dataset"]
    assert datasets["counts"] == {"queued": 1}
    assert {"JOBS", "KEYS", "USAGE"} <= {each["name"] for each in shown["streams"]}


async def test_a_service_that_is_away_is_said_to_be_and_hides_no_other(tmp_path: Path):
    async with run_house(tmp_path, trainer_address=NOWHERE) as house:
        client = house.http(tenant="operators", scope=OPERATOR)
        shown = (await client.get("/v1/status")).json()["services"]

    states = {each["service"]: each["status"] for each in shown}
    assert states == dict.fromkeys(SERVICES, "serving") | {"trainer": "unreachable"}
    assert [each["version"] for each in shown if each["service"] == "trainer"] == [None]


async def test_grpc_shows_the_same(house: House):
    token = house.issuer.token(tenant="operators", scope=OPERATOR)
    async with open_channel(house.grpc_address, token) as channel:
        shown = await GatewayServiceStub(channel).GetStatus(pb.GetStatusRequest())

    assert {each.service for each in shown.services} == SERVICES
    assert next(each.messages for each in shown.streams if each.name == "MODELS") > 0
