"""Gateways, consumers and brokers that die between an event and its delivery: nothing is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_support.house import WEBHOOK_KEY, House, run_house
from gateway_support.receiver import OK, receiving
from gateway_support.webhooks import about, attempts, jobs_succeed, registered
from httpx import AsyncClient
from testkit.service_process import ServiceProcess, running_service
from testkit.waiting import eventually

NAMES = [f"job-{number}" for number in range(8)]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Its own gateway has no webhooks: those in processes of their own have."""
    async with run_house(tmp_path, webhook_key=None) as running:
        yield running


@asynccontextmanager
async def gateway(house: House) -> AsyncIterator[tuple[ServiceProcess, AsyncClient]]:
    settings = house.settings
    same = (
        *("nats_url", "jwt_issuer", "jwt_audience", "jwks_path", "artifact_root"),
        *("inference_address", "moderation_address", "data_prep_address", "trainer_address"),
        "optimizer_builder_address",
    )
    values = {name: str(getattr(settings, name)) for name in same} | {
        "nats_token": settings.nats_token.get_secret_value(),
        "service_secret": settings.service_secret.get_secret_value(),
        "http_address": "127.0.0.1:0",
        "webhook_key": WEBHOOK_KEY,
        "webhook_allow_private": "true",
        "webhook_retry_seconds": "[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]",
    }
    headers = {"authorization": f"Bearer {house.issuer.token()}"}
    async with (
        running_service("gateway", values) as service,
        AsyncClient(
            base_url=f"http://127.0.0.1:{service.ports['http']}", headers=headers, timeout=20
        ) as client,
    ):
        yield service, client


async def test_a_killed_gateway_loses_no_delivery_that_it_had_in_hand_or_before_it(house: House):
    async with receiving(answer=lambda _: None) as receiver:
        async with gateway(house) as (service, client):
            await registered(client, receiver)
            await jobs_succeed(house, "acme", NAMES)
            await eventually(lambda: receiver.requests)
            await service.stop(signal.SIGKILL)
        held = set(receiver.ids)
        receiver.answer = lambda _: OK
        await jobs_succeed(house, "acme", ["job-meanwhile"])
        async with gateway(house) as (_, client):
            await eventually(lambda: len(receiver.ids) == len(NAMES) + 1, within=20)
            # What was in hand comes again, too, under the id that it had.
            await eventually(lambda: len([1 for each in receiver.requests if each.id in held]) == 2)

    assert len(held) == 1
    told = {request.id: about(request)[1] for request in receiver.requests}
    assert sorted(told.values()) == sorted([*NAMES, "job-meanwhile"])


async def test_a_broker_that_dies_in_between_delays_deliveries_and_loses_none(house: House):
    async with receiving() as receiver, gateway(house) as (service, client):
        await registered(client, receiver)
        await jobs_succeed(house, "acme", NAMES[:4])
        house.nats.kill()
        await house.nats.start()
        await jobs_succeed(house, "acme", NAMES[4:])
        await eventually(lambda: len(receiver.ids) == len(NAMES), within=30)
        assert await service.stop() == 0, service.errors

    told = {request.id: about(request)[1] for request in receiver.requests}
    assert sorted(told.values()) == NAMES


async def test_events_that_are_read_again_are_not_told_again(house: House):
    async with receiving() as receiver, gateway(house) as (_, client):
        webhook = await registered(client, receiver)
        await jobs_succeed(house, "acme", NAMES)
        await eventually(lambda: len(receiver.ids) == len(NAMES))
        # As when a gateway dies after it wrote what is due and before it said so.
        await house.bus._link.js.delete_consumer("JOBS", "gateway-webhook-jobs")
        await eventually(lambda: _read(house, "JOBS", "gateway-webhook-jobs", len(NAMES)))
        await jobs_succeed(house, "acme", ["job-new"])
        await eventually(lambda: "job-new" in {about(each)[1] for each in receiver.requests})
        await asyncio.gather(eventually(lambda: _all_done(house)))
        seen = await attempts(client, webhook)

    assert len(receiver.requests) == len(seen) == len(NAMES) + 1


async def _read(house: House, stream: str, durable: str, at_least: int) -> bool:
    js = house.bus._link.js
    consumers = {info.name: info for info in await js.consumers_info(stream)}
    found = consumers.get(durable)
    return found is not None and found.ack_floor.stream_seq >= at_least


async def _all_done(house: House) -> bool:
    return (await house.bus.facts("WEBHOOKS")).messages == 0
