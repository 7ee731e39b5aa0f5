"""Gateways, consumers and brokers that die between an event and its delivery: nothing is lost."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.house import WEBHOOK_KEY, House, run_house
from gateway_support.receiver import OK, is_genuine, receiving
from gateway_support.webhooks import about, all_read, attempts, jobs_succeed, registered
from httpx import AsyncClient
from modelmill_testkit.service_process import ServiceProcess, running_service
from modelmill_testkit.shared_nats import broker_for
from modelmill_testkit.waiting import eventually
from pydantic import SecretStr

pytestmark = pytest.mark.tier("drills")

NAMES = [f"job-{number}" for number in range(8)]
WITH_WEBHOOKS = {"webhook_key": SecretStr(WEBHOOK_KEY), "webhook_allow_private": True}
OTHER_KEY = WITH_WEBHOOKS | {"webhook_key": SecretStr(WEBHOOK_KEY[::-1])}


@pytest.fixture
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """Its own gateway has no webhooks; others on the same bus have."""
    broker = broker_for(request.node, tmp_path / "nats")
    async with run_house(tmp_path, broker, webhook_key=None) as running:
        yield running


@asynccontextmanager
async def process(house: House) -> AsyncIterator[tuple[ServiceProcess, AsyncClient]]:
    """A gateway that may be killed."""
    settings = house.settings
    same = (
        *("nats_url", "jwt_issuer", "jwt_audience", "jwks_path", "artifact_root"),
        "work_root",
        *("inference_address", "moderation_address", "data_prep_address", "trainer_address"),
        "optimizer_builder_address",
    )
    values = {name: str(getattr(settings, name)) for name in same} | {
        "nats_token": settings.nats_token.get_secret_value(),
        "service_secret": settings.service_secret.get_secret_value(),
        "http_address": "127.0.0.1:0",
        "webhook_key": WEBHOOK_KEY,
        "webhook_allow_private": "true",
    }
    headers = {"authorization": f"Bearer {house.issuer.token()}"}
    async with (
        running_service("gateway", values) as service,
        AsyncClient(
            base_url=f"http://127.0.0.1:{service.ports['http']}", headers=headers, timeout=60
        ) as client,
    ):
        yield service, client


async def test_a_killed_gateway_loses_no_delivery_that_it_had_in_hand_or_before_it(house: House):
    async with receiving(answer=lambda _: None) as receiver:
        async with process(house) as (service, client):
            await registered(client, receiver)
            await jobs_succeed(house, "acme", NAMES)
            await eventually(lambda: receiver.requests)
            await eventually(lambda: all_read(house))
            await service.stop(signal.SIGKILL)
        in_hand = receiver.requests[-1].id
        before = len(receiver.requests)
        receiver.answer = lambda _: OK
        await jobs_succeed(house, "acme", ["job-meanwhile"])
        async with another_gateway(house, **WITH_WEBHOOKS):
            await eventually(lambda: len(receiver.ids) == len(NAMES) + 1)
            # What was in hand comes again, too, under the id that it had.
            await eventually(lambda: in_hand in [each.id for each in receiver.requests[before:]])

    told = {request.id: about(request)[1] for request in receiver.requests}
    assert sorted(told.values()) == sorted([*NAMES, "job-meanwhile"])


@pytest.mark.own_broker
async def test_a_broker_that_dies_in_between_delays_deliveries_and_loses_none(house: House):
    async with receiving() as receiver, another_gateway(house, **WITH_WEBHOOKS) as other:
        await registered(other.house.http(), receiver)
        await jobs_succeed(house, "acme", NAMES[:4])
        house.nats.kill()
        await house.nats.start()
        await jobs_succeed(house, "acme", NAMES[4:])
        await eventually(lambda: len(receiver.ids) == len(NAMES))

    told = {request.id: about(request)[1] for request in receiver.requests}
    assert sorted(told.values()) == NAMES


async def test_a_secret_that_was_sealed_with_another_key_is_told_and_can_be_replaced(house: House):
    async with receiving() as receiver:
        async with another_gateway(house, **WITH_WEBHOOKS) as other:
            webhook = await registered(other.house.http(), receiver)
        async with another_gateway(house, **OTHER_KEY) as other:
            client = other.house.http()
            await client.post(f"/v1/webhooks/{webhook['id']}/test")
            (attempt,) = await eventually(lambda: attempts(client, webhook))
            rotated = await client.post(f"/v1/webhooks/{webhook['id']}/rotate")
            await client.post(f"/v1/webhooks/{webhook['id']}/test")
            await eventually(lambda: receiver.requests)

    assert (attempt["outcome"], attempt["status"]) == ("unsealable", None)
    assert rotated.json()["previous_secret_until"] is None
    assert is_genuine(rotated.json()["secret"], receiver.requests[0])
