"""Parts of webhooks on a bus of their own, in an order that a whole gateway seldom has."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest_asyncio
from gateway_support.receiver import receiving
from modelmill.gateway.v1.gateway_events_pb2 import WebhookAttempt, WebhookDue, WebhookState
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobResult, JobState
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY, job_state, webhook_state
from modelmill_gateway.adapters.webhook_sender import WebhookSender, threaded_lookups
from modelmill_gateway.domain.access import SCOPES, Caller
from modelmill_gateway.domain.secret_vault import WEBHOOK_SECRETS, SecretVault
from modelmill_gateway.domain.webhooks import Schedule
from modelmill_gateway.entrypoints.schemas.webhooks import FACTS
from modelmill_gateway.webhooks.change_webhook import ManageWebhooks
from modelmill_gateway.webhooks.deliver_webhooks import AttemptDelivery
from modelmill_gateway.webhooks.tell_webhooks import TellWebhooks
from modelmill_gateway.webhooks.webhook_book import WebhookBook, WebhookLog
from modelmill_registry.catalogue import DatasetCatalogue, Made, ModelCatalogue
from modelmill_testkit.shared_nats import shared_nats
from modelmill_testkit.waiting import eventually


class Nothing:
    """Announcements of jobs that announce nothing."""

    def has(self, result: JobResult) -> bool:
        return False

    async def until(self, result: JobResult) -> None:
        raise AssertionError("nothing is waited for")


class Waited(Made):
    """What jobs made, and whether somebody waits for it."""

    def __init__(self, models: ModelCatalogue, datasets: DatasetCatalogue) -> None:
        super().__init__(models, datasets)
        self.waited = asyncio.Event()

    async def until(self, result: JobResult) -> None:
        self.waited.set()
        await super().until(result)


VAULT = SecretVault("a-key-that-only-this-test-knows-of", WEBHOOK_SECRETS)


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[Bus]:
    async with (
        shared_nats() as server,
        Bus.connect(server.url, server.token, name="gateway") as connected,
    ):
        yield connected


async def registered_elsewhere(bus: Bus, url: str) -> WebhookState:
    state = WebhookState(
        webhook_id="wh-1",
        tenant="acme",
        url=url,
        event_types=["job.succeeded"],
        enabled=True,
        sealed_secret=VAULT.seal(bytes(32), "wh-1"),
    )
    await bus.publish(webhook_state("wh-1"), state, expect_last=0)
    return state


async def test_an_event_waits_until_the_endpoints_before_it_are_known(bus: Bus):
    book, stopping = WebhookBook(bus), asyncio.Event()
    telling = asyncio.create_task(TellWebhooks(bus, book, FACTS, Nothing()).run(stopping))
    await registered_elsewhere(bus, "https://example.com")
    await job_succeeds(bus, "job-1")
    await eventually(lambda: _in_hand(bus))
    reading = asyncio.create_task(book.run())
    await eventually(lambda: _due(bus, 1))
    stopping.set()
    await telling
    reading.cancel()


async def test_what_an_event_is_called_does_not_depend_on_what_others_did_before_it(bus: Bus):
    book, stopping = WebhookBook(bus), asyncio.Event()
    reading = asyncio.create_task(book.run())
    await registered_elsewhere(bus, "https://example.com")
    await eventually(lambda: book.find("wh-1"))
    telling = asyncio.create_task(TellWebhooks(bus, book, FACTS, Nothing()).run(stopping))
    state = JobState(job_id="job-1", tenant="acme", status=JOB_STATUS_SUCCEEDED)
    state.updated_at.GetCurrentTime()
    for _ in range(2):
        await bus.publish(job_state("job-1"), state)
        await bus.publish(job_state("job-2"), JobState(job_id="job-2", tenant="another"))
    await eventually(lambda: _read(bus, 4))
    stopping.set()
    await telling
    reading.cancel()

    assert await _due(bus, 1)


async def test_an_event_before_the_registration_is_not_told_however_late_it_is_read(bus: Bus):
    book, stopping = WebhookBook(bus), asyncio.Event()
    reading = asyncio.create_task(book.run())
    async with threaded_lookups() as resolve:
        sender = WebhookSender(resolve, allow_private=True)
        register = ManageWebhooks(bus, book, VAULT, sender).register
        await job_succeeds(bus, "job-1")
        caller = Caller("acme", "ann", frozenset(SCOPES))
        await register("http://127.0.0.1/", ["job.succeeded"], caller)
        await sender.close()
    await job_succeeds(bus, "job-2")
    telling = asyncio.create_task(TellWebhooks(bus, book, FACTS, Nothing()).run(stopping))
    await eventually(lambda: _read(bus, 2))
    stopping.set()
    await telling
    reading.cancel()

    assert await _due(bus, 1)


async def test_what_failed_before_an_endpoint_was_enabled_again_does_not_count(bus: Bus):
    log, now = WebhookLog(bus), datetime.now(UTC)
    endpoint = WebhookState(webhook_id="wh-1")
    reading = asyncio.create_task(log.run())

    async def fails(ago: timedelta) -> datetime | None:
        attempt = WebhookAttempt(webhook_id="wh-1", outcome="refused")
        attempt.at.FromDatetime(now - ago)
        count = len(log.list("wh-1"))
        await log.record(attempt, endpoint)
        await eventually(lambda: len(log.list("wh-1")) > count)
        return log.failing_since(endpoint)

    assert await fails(timedelta(days=9)) == now - timedelta(days=9)
    assert await fails(timedelta(days=8)) == now - timedelta(days=9)
    endpoint.enabled_at.FromDatetime(now - timedelta(days=5))
    assert log.failing_since(endpoint) is None
    assert await fails(timedelta(days=1)) == now - timedelta(days=1)
    reading.cancel()


async def test_a_delivery_waits_until_its_endpoint_is_known(bus: Bus):
    book, log = WebhookBook(bus), WebhookLog(bus)
    schedule = Schedule((1.0,), timedelta(days=3))
    async with receiving() as receiver, threaded_lookups() as resolve:
        sender = WebhookSender(resolve, allow_private=True)
        attempt = AttemptDelivery(bus, book, log, VAULT, sender, schedule)
        await registered_elsewhere(bus, receiver.url)
        due = WebhookDue(webhook_id="wh-1", tenant="acme", delivery_id="msg_1", payload="{}")
        delivering = asyncio.create_task(attempt(due))
        reading = asyncio.create_task(book.run())
        await delivering
        reading.cancel()
        await sender.close()

    assert [request.id for request in receiver.requests] == ["msg_1"]


async def test_nobody_is_told_of_a_success_before_its_model_can_be_found(bus: Bus):
    book, stopping, models = WebhookBook(bus), asyncio.Event(), ModelCatalogue(bus)
    following = [asyncio.create_task(each.run()) for each in (book, models)]
    await registered_elsewhere(bus, "https://example.com")
    await eventually(lambda: book.find("wh-1"))
    made = Waited(models, DatasetCatalogue(bus))
    telling = asyncio.create_task(TellWebhooks(bus, book, FACTS, made).run(stopping))
    await job_succeeds(bus, "job-1", makes="mv-1")
    await made.waited.wait()
    assert await _due(bus, 0)
    model = ModelReady(version_id="mv-1", tenant="acme", name="m", form="adapter")
    await bus.publish(MODEL_READY, model)
    await eventually(lambda: _due(bus, 1))
    stopping.set()
    await telling
    for each in following:
        each.cancel()


async def job_succeeds(bus: Bus, job_id: str, *, makes: str = "") -> None:
    state = JobState(job_id=job_id, tenant="acme", status=JOB_STATUS_SUCCEEDED)
    if makes:
        state.result.CopyFrom(JobResult(version_id=makes, announce_subject=MODEL_READY))
    state.updated_at.GetCurrentTime()
    await bus.publish(job_state(job_id), state)


async def _read(bus: Bus, count: int) -> bool:
    found = {info.name: info for info in await bus._link.js.consumers_info("JOBS")}
    consumer = found.get("gateway-webhook-jobs")
    return consumer is not None and consumer.ack_floor.stream_seq >= count


async def _in_hand(bus: Bus) -> bool:
    found = {info.name: info for info in await bus._link.js.consumers_info("JOBS")}
    return "gateway-webhook-jobs" in found and found["gateway-webhook-jobs"].num_ack_pending == 1


async def _due(bus: Bus, count: int) -> bool:
    return (await bus.facts("WEBHOOKS")).messages == count
