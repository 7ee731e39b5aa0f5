"""Work through what endpoints are to be told, so that none of them delays another."""

import asyncio
import contextlib
import logging
import random
import time
from datetime import UTC, datetime
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import WebhookDue
from modelmill_bus.bus import Bus
from modelmill_bus.deliveries import decoded, kept
from modelmill_bus.subjects import DELIVERIES as QUEUE
from modelmill_service_kit.errors import DomainError
from nats.errors import Error as NatsError

from modelmill_gateway.adapters.webhook_log import WebhookLog
from modelmill_gateway.domain.delivery_slots import DeliverySlots
from modelmill_gateway.webhooks.attempt_delivery import AttemptDelivery

log = logging.getLogger(__name__)

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
    """Takes from WEBHOOKS what is due; all replicas share one durable consumer."""

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
        if not self._slots.take(due.webhook_id, due.tenant, works=works):
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
            self._slots.free(due.webhook_id, due.tenant)


async def _answer(sending: Any) -> None:
    """Tell the broker; one that is away delivers the message again by itself."""
    with contextlib.suppress(NatsError, OSError):
        await sending
