"""One attempt to reach an endpoint, and what follows from it."""

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from modelmill.gateway.v1.gateway_events_pb2 import WebhookAttempt, WebhookDue, WebhookState
from modelmill_bus.bus import Bus, StaleWriteError
from modelmill_bus.subjects import webhook_due
from modelmill_service_kit.errors import NotFoundError, PreconditionError

from modelmill_gateway.adapters.secret_vault import SecretVault
from modelmill_gateway.adapters.webhook_book import WebhookBook
from modelmill_gateway.adapters.webhook_log import WebhookLog
from modelmill_gateway.adapters.webhook_sender import WebhookSender
from modelmill_gateway.domain.webhooks import (
    DELIVERED,
    GONE,
    TEST_EVENT,
    Reply,
    Schedule,
    signed_headers,
)
from modelmill_gateway.metrics import WEBHOOK_DELIVERIES

log = logging.getLogger(__name__)


class AttemptDelivery:
    """Sends once; what failed is put into the queue again, with its time, before this ends."""

    def __init__(
        self,
        bus: Bus,
        book: WebhookBook,
        attempts: WebhookLog,
        vault: SecretVault,
        sender: WebhookSender,
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
