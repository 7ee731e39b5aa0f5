"""Findings: what is wrong as the gateway sees it, each with what to do about it."""

from collections.abc import Mapping
from pathlib import Path

import nats
import pytest
from gateway_support.house import House, run_house
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill_bus.inspection import BrokerState
from modelmill_gateway.domain.access import OPERATOR
from modelmill_gateway.ports import ServiceStatus
from modelmill_gateway.tenants.find_problems import FindProblems, SeenByGateway, other_version
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.grpc_client import open_channel
from nats.js import api

NOWHERE = "127.0.0.1:9"


async def findings_of(house: House) -> Mapping[str, Mapping[str, str]]:
    """By check."""
    answer = await house.http(tenant="operators", scope=OPERATOR).get("/v1/findings")
    assert answer.status_code == 200, answer.text
    return {each["check"]: each for each in answer.json()["data"]}


async def forget_oldest(house: House, stream: str) -> None:
    """Let the stream drop its oldest records when it is full."""
    client = await nats.connect(house.nats.url, token=house.nats.token)
    try:
        js = client.jetstream()
        config = (await js.stream_info(stream)).config
        await js.update_stream(config.evolve(discard=api.DiscardPolicy.OLD))
    finally:
        await client.close()


async def test_nothing_is_found_where_all_is_well(own_house: House):
    assert await findings_of(own_house) == {}


async def test_a_service_that_is_away_comes_first_with_where_it_should_be(tmp_path: Path):
    async with run_house(tmp_path, trainer_address=NOWHERE) as house:
        await forget_oldest(house, "USAGE")
        found = await findings_of(house)

    assert [*found] == ["service-unreachable", "stream-discard"]
    away = found["service-unreachable"]
    assert (away["severity"], away["object"]) == ("error", "finding")
    assert away["problem"] == f"trainer at {NOWHERE} does not answer"
    assert "mill doctor" in away["remedy"]
    assert "nats stream edit USAGE" in found["stream-discard"]["remedy"]


@pytest.mark.own_broker
async def test_a_broker_that_is_away_is_a_finding_and_no_error(own_house: House):
    own_house.nats.kill()

    found = await findings_of(own_house)

    assert [*found] == ["broker-unreachable"]
    assert "GATEWAY_NATS_URL" in found["broker-unreachable"]["remedy"]


def test_a_service_of_another_release_is_found_and_one_that_says_none_is_not():
    seen = [
        ServiceStatus("trainer", "trainer:1", "serving", version)
        for version in ("0.2.0", "0.1.0", "")
    ]
    (found,) = other_version(SeenByGateway("0.2.0", seen, None, ""))

    assert found.problem == "trainer at trainer:1 runs 0.1.0, and the gateway 0.2.0"


class AwayBus:
    """A bus without a broker."""

    async def inspect(self) -> BrokerState:
        raise UnavailableError("the message broker is not connected")


async def older() -> ServiceStatus:
    """A service of another release."""
    return ServiceStatus("trainer", "trainer:1", "serving", "0.0.1")


async def test_errors_come_before_warnings():
    found = await FindProblems(AwayBus(), [older])()

    assert [each.check for each in found] == ["broker-unreachable", "service-version"]


async def test_grpc_lists_the_same(tmp_path: Path):
    async with run_house(tmp_path, moderation_address=NOWHERE) as house:
        token = house.issuer.token(tenant="operators", scope=OPERATOR)
        async with open_channel(house.grpc_address, token) as channel:
            found = await GatewayServiceStub(channel).ListFindings(pb.ListFindingsRequest())

    assert [(each.check, each.severity) for each in found.findings] == [
        ("service-unreachable", "error")
    ]
    assert NOWHERE in found.findings[0].problem
