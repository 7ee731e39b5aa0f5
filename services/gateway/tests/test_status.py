"""The status of the installation: what operators see of services, jobs and streams."""

from pathlib import Path

import pytest
from gateway_support.document import body_example
from gateway_support.house import House, run_house
from gateway_support.job_orders import order, say_state
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_CANCELLED, JOB_STATUS_RUNNING
from modelmill_gateway.domain.access import OPERATOR
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.waiting import eventually

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


async def test_who_works_on_what_is_shown_until_it_has_ended(house: House):
    client = house.http(tenant="workers")
    operator = house.http(tenant="operators", scope=OPERATOR)
    job_id = (await order(client)).json()["id"]
    waiting = (await operator.get("/v1/status")).json()["workers"]
    assert job_id not in [each["job_id"] for each in waiting]

    async def working() -> list[tuple[str, str, str]]:
        shown = (await operator.get("/v1/status")).json()["workers"]
        mine = [each for each in shown if each["job_id"] == job_id]
        return [(each["worker"], each["kind"], each["tenant"]) for each in mine]

    async def is_held() -> bool:
        return await working() == [("trainer-gpu-1", "train", "workers")]

    async def is_left() -> bool:
        return await working() == []

    running, done = JOB_STATUS_RUNNING, JOB_STATUS_CANCELLED
    await say_state(house, job_id, "workers", status=running, owner="trainer-gpu-1", attempt=1)
    await eventually(is_held)
    await say_state(house, job_id, "workers", status=done, owner="trainer-gpu-1", attempt=1)
    await eventually(is_left)


async def test_the_room_for_requests_is_shown(tmp_path: Path):
    async with run_house(tmp_path, tokens_in_hand=4096) as house:
        client = house.http(tenant="operators", scope=OPERATOR)
        shown = (await client.get("/v1/status")).json()

    names = ("waiting_requests", "tokens_in_hand", "tokens_limit")
    assert [shown[name] for name in names] == [0, 0, 4096]


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
