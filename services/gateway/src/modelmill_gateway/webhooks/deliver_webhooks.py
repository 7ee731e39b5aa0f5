"""Work through what endpoints are to be told, so that none of them delays another."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import WebhookAttempt, WebhookDue, WebhookState
from modelmill_bus.bus import Bus, StaleWriteError
from modelmill_bus.deliveries import decoded, kept
from modelmill_bus.subjects import DELIVERIES as QUEUE
from modelmill_bus.subjects import webhook_due
from modelmill_service_kit.errors import DomainError, NotFoundError, PreconditionError
from nats.errors import Error as NatsError

from modelmill_gateway.domain.secret_vault import SecretVault
from modelmill_gateway.domain.webhooks import (
    DELIVERED,
    GONE,
    TEST_EVENT,
    DeliverySlots,
    Reply,
    Schedule,
    signed_headers,
)
from modelmill_gateway.metrics import WEBHOOK_DELIVERIES
from modelmill_gateway.ports import WebhookSending
from modelmill_gateway.webhooks.webhook_book import WebhookBook, WebhookLog

log = logging.getLogger(__name__)


class AttemptDelivery:
    """One delivery attempt; a failed one is queued again, with its time, before this ends."""

    def __init__(
        self,
        bus: Bus,
        book: WebhookBook,
        attempts: WebhookLog,
        vault: SecretVault,
        sender: WebhookSending,
        schedule: Schedule,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._bus = bus
        self._book = book
        self._attempts = attempts
        self._vault = vault
        self._sender = sender
        self._schedule = schedule
        self._chance = chance

    async def __call__(self, due: WebhookDue) -> None:
        """Make the attempt. May be made again for the same message: the receiver sees one id.

        Raises:
            UnavailableError: the bus is away, so that what came of it is not known to anybody.
        """
        endpoint = await self._endpoint(due)
        if endpoint is None:
            WEBHOOK_DELIVERIES.labels("dropped").inc()
            return
        began, at = time.perf_counter(), datetime.now(UTC)
        reply = await self._send(endpoint, due, at)
        WEBHOOK_DELIVERIES.labels(reply.outcome).inc()
        attempt = WebhookAttempt(
            webhook_id=due.webhook_id,
            tenant=due.tenant,
            delivery_id=due.delivery_id,
            event_type=due.event_type,
            attempt=due.attempts + 1,
            seconds=time.perf_counter() - began,
            status=reply.status,
            outcome=reply.outcome,
        )
        attempt.at.FromDatetime(at)
        if reply.outcome != DELIVERED:
            await self._after_failure(endpoint, due, reply, attempt)
        await self._attempts.record(attempt, endpoint)

    async def _endpoint(self, due: WebhookDue) -> WebhookState | None:
        """The endpoint as it is now; None when nothing is to be sent to it any more."""
        if self._book.find(due.webhook_id) is None:
            # Another replica may have registered it a moment ago.
            await self._book.catch_up()
        endpoint = self._book.find(due.webhook_id)
        return endpoint if endpoint is not None and endpoint.enabled else None

    async def _send(self, endpoint: WebhookState, due: WebhookDue, at: datetime) -> Reply:
        sealed = [endpoint.sealed_secret]
        if endpoint.previous_sealed_secret and at < endpoint.previous_until.ToDatetime(UTC):
            sealed.append(endpoint.previous_sealed_secret)
        try:
            secrets = [self._vault.open(each, endpoint.webhook_id) for each in sealed]
        except PreconditionError as error:
            log.error("a webhook cannot be signed: %s", error)
            return Reply("unsealable")
        body = due.payload.encode()
        headers = signed_headers(due.delivery_id, at, body, secrets)
        return await self._sender.post(endpoint.url, headers, body)

    async def _after_failure(
        self, endpoint: WebhookState, due: WebhookDue, reply: Reply, attempt: WebhookAttempt
    ) -> None:
        now = datetime.now(UTC)
        since = self._attempts.failing_since(endpoint)
        if reply.outcome == GONE:
            await self._disable(endpoint, "it answered 410 Gone")
        elif since is not None and self._schedule.gives_up(since, now):
            await self._disable(endpoint, f"every attempt failed since {since:%Y-%m-%d %H:%M} UTC")
        elif due.event_type != TEST_EVENT:
            wait = self._schedule.wait_after(
                attempt.attempt, retry_after=reply.retry_after, chance=self._chance()
            )
            if wait is not None:
                attempt.next_at.FromDatetime(now + wait)
                await self._put_again(due, attempt)
            else:
                WEBHOOK_DELIVERIES.labels("exhausted").inc()

    async def _put_again(self, due: WebhookDue, attempt: WebhookAttempt) -> None:
        again = WebhookDue()
        again.CopyFrom(due)
        again.attempts = attempt.attempt
        again.not_before.CopyFrom(attempt.next_at)
        # The id keeps an attempt that is made twice from being followed by two.
        msg_id = f"{due.delivery_id}.{again.attempts}"
        await self._bus.publish(webhook_due(due.webhook_id), again, msg_id=msg_id)

    async def _disable(self, endpoint: WebhookState, reason: str) -> None:
        try:
            stored = await self._book.newest(endpoint.tenant, endpoint.webhook_id)
            if not stored.body.enabled:
                return
            stored.body.enabled = False
            stored.body.disabled_reason = reason
            stored.body.changed_by = ""
            await self._book.write(stored.body, expected=stored.sequence)
        except (NotFoundError, StaleWriteError):
            return  # somebody changes it: what waits will tell whether it still fails
        fields = {"webhook_id": endpoint.webhook_id, "tenant": endpoint.tenant}
        log.warning("a webhook is disabled: %s", reason, extra={"fields": fields})


OVERALL = 64
"""Deliveries at a time, in one process."""
EACH_TENANT = 16
"""Deliveries at a time to all endpoints of one tenant."""
EACH = 4
"""Deliveries at a time to one endpoint."""
ACK_WAIT_SECONDS = 6.0
"""A replica that is silent for so long is dead, and another one makes its attempts."""
RETRY_SECONDS = 1.0
TURN_SECONDS = 0.5


class DeliverWebhooks:
    """Delivery worker on the stream WEBHOOKS; all replicas share one durable consumer."""

    def __init__(self, bus: Bus, attempts: WebhookLog, attempt: AttemptDelivery) -> None:
        self._bus = bus
        self._attempts = attempts
        self._attempt = attempt
        self._slots = DeliverySlots(overall=OVERALL, each_tenant=EACH_TENANT, each=EACH)
        self._room = asyncio.Semaphore(OVERALL)

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping`, and then end what is in hand."""
        deliveries = self._bus.deliveries(
            QUEUE.name, [QUEUE.filter], ack_wait_seconds=ACK_WAIT_SECONDS
        )
        async with asyncio.TaskGroup() as in_hand:
            try:
                while not stopping.is_set():
                    async with self._room:
                        message = await deliveries.next(timeout=TURN_SECONDS)
                    if message is not None:
                        await self._take(message, in_hand)
            finally:
                await deliveries.close()

    async def _take(self, message: Any, in_hand: asyncio.TaskGroup) -> None:
        """Begin the delivery, or give it back until it is its turn."""
        stored: Any = decoded(message)
        if stored is None:
            await _answer(message.term())
            return
        due: WebhookDue = stored.body
        early = (due.not_before.ToDatetime(UTC) - datetime.now(UTC)).total_seconds()
        if early > 0:
            await _answer(message.nak(delay=early))
            return
        works = self._attempts.works(due.webhook_id)
        if not self._slots.acquire(due.webhook_id, due.tenant, works=works):
            wait = self._slots.put_off(due.webhook_id, time.monotonic(), works=works)
            await _answer(message.nak(delay=wait * random.uniform(0.5, 1)))
            return
        in_hand.create_task(self._deliver(message, due))

    async def _deliver(self, message: Any, due: WebhookDue) -> None:
        try:
            async with self._room, kept(message, ACK_WAIT_SECONDS):
                await self._attempt(due)
        except asyncio.CancelledError:
            await _answer(message.nak())  # another replica need not wait for our silence
            raise
        except DomainError as error:
            log.info("a delivery is made again: %s", error)
            await _answer(message.nak(delay=RETRY_SECONDS))
        except Exception:
            log.exception("delivery %s failed; it is made again", due.delivery_id)
            await _answer(message.nak(delay=RETRY_SECONDS))
        else:
            await _answer(message.ack())
        finally:
            self._slots.release(due.webhook_id, due.tenant)


async def _answer(sending: Any) -> None:
    """Tell the broker; one that is away delivers the message again by itself."""
    with contextlib.suppress(NatsError, OSError):
        await sending
