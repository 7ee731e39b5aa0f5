"""Durable pull consumer with short pull requests, so that none outlives its broker."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.message import Message
from modelmill_service_kit.errors import InvalidInputError
from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import APIError

from modelmill_bus.envelope import MalformedMessageError, Stored, decode, process_span
from modelmill_bus.filters import one_filter
from modelmill_bus.inbox import Inbox, status_of
from modelmill_bus.link import Link, raise_if_cancelled
from modelmill_bus.permissions import API
from modelmill_bus.subjects import STREAMS, route

log = logging.getLogger(__name__)

CONSUME_ACK_WAIT_SECONDS = 30.0
CONSUME_RETRY_SECONDS = 1.0
LATE_SECONDS = 0.5
"""So much later than asked for may the broker say that nothing came."""
NANO = 1_000_000_000
NOTHING_CAME = ("404", "408")
CONFLICT = "409"
"""The consumer's leader changes, or is gone; the next request says which."""

Handle = Callable[[Stored[Any]], Awaitable[None]]


async def handle_one(message: Any, handle: Handle) -> None:
    """Hand a delivery to `handle` and acknowledge it; after a failure it comes a second later."""
    stored = decoded(message)
    if stored is None:
        await message.term()
        return
    try:
        async with kept(message, CONSUME_ACK_WAIT_SECONDS):
            with process_span(route(stored.subject).template, stored.trace):
                await handle(stored)
    except Exception:
        log.exception("handling %s failed; it comes again", stored.subject)
        await message.nak(delay=CONSUME_RETRY_SECONDS)
    else:
        await message.ack()


@asynccontextmanager
async def kept(message: Any, ack_wait_seconds: float) -> AsyncIterator[None]:
    """While the block runs, the broker is told that the message is still in hand."""

    async def keep() -> None:
        while True:
            await asyncio.sleep(ack_wait_seconds / 3)
            await message.in_progress()

    alive = asyncio.create_task(keep())
    try:
        yield
    finally:
        alive.cancel()


def decoded(
    message: Any, kinds: Mapping[str, type[Message]] | None = None
) -> Stored[Message] | None:
    """The message as its row of the table says, or None (logged) when it is not that.

    The broker's wildcards also let subjects in that the table does not.
    """
    sequence = message.metadata.sequence.stream
    try:
        where = route(message.subject)
        kind = (kinds or {}).get(where.template, where.body)
        return decode(sequence, message.subject, message.data, message.headers, kind)
    except (InvalidInputError, MalformedMessageError):
        log.exception("message %d of %s is left out", sequence, message.metadata.stream)
        return None


RETRY_SECONDS = 0.3
WORK_QUEUES = frozenset(stream.name for stream in STREAMS if stream.work_queue)


class Deliveries:
    """Messages of a durable consumer, one at a time; never gives up, never raises for the broker.

    Args:
        ack_wait_seconds: a delivery with no sign of life for this long goes to somebody else.
    """

    def __init__(
        self, link: Link, stream: str, durable: str, filters: Sequence[str], ack_wait_seconds: float
    ) -> None:
        self._link = link
        self._stream = stream
        self._durable = durable
        self._filters = list(filters)
        self._only = one_filter(filters)
        self._ack_wait = ack_wait_seconds
        self._inbox = Inbox()
        self._bound: Any = None
        """The subscription of the inbox."""
        self._address = ""
        self._epoch = 0
        self._asked_at = 0.0

    async def next(self, timeout: float) -> Any | None:
        """The next delivery, or None when there is none within about `timeout` seconds."""
        raise_if_cancelled()
        if not await self._link.wait_connected(timeout):
            return None
        try:
            if self._is_stale():
                await self._bind()
            return self._waiting() or await self._pulled(timeout)
        except (NatsError, OSError) as error:
            log.info("consumer %s is bound again after %s", self._durable, error)
            self._bound = None
            await asyncio.sleep(RETRY_SECONDS)
            return None
        finally:
            self._asked_at = time.monotonic()

    def _waiting(self) -> Any | None:
        """A message that came after its turn; what the broker said of earlier requests goes."""
        while (message := self._inbox.waiting()) is not None:
            if status_of(message) is None:
                return message
        return None

    async def _pulled(self, timeout: float) -> Any | None:
        """What one pull request brings, or None."""
        await self._link.client.publish(
            f"{API}.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}",
            json.dumps({"batch": 1, "expires": int(timeout * NANO)}).encode(),
            reply=self._address,
        )
        ends_at = time.monotonic() + timeout + LATE_SECONDS
        while (message := await self._inbox.next(ends_at - time.monotonic())) is not None:
            status = status_of(message)
            if status is None or status in NOTHING_CAME:
                return message if status is None else None
            if status != CONFLICT:
                raise APIError.from_msg(message)
        return None

    async def close(self) -> None:
        """Give up the inbox; the durable consumer stays."""
        bound, self._bound = self._bound, None
        if bound is not None and self._link.connected:
            try:
                await bound.unsubscribe()
            except NatsError as error:
                log.debug("inbox of %s was gone already: %s", self._durable, error)

    def _is_stale(self) -> bool:
        """Whether what waits in the inbox may by now have been delivered to somebody else.

        A message that came after the last turn's end lies there while a job runs for an hour;
        taking it then would take the job from the worker that got it next.
        """
        idle = time.monotonic() - self._asked_at
        return (
            self._bound is None or self._epoch != self._link.epoch or idle > min(self._ack_wait, 5)
        )

    async def _bind(self) -> None:
        await self.close()
        # `add_consumer` updates an existing durable; `pull_subscribe` would keep its old settings.
        await self._link.js.add_consumer(
            self._stream,
            api.ConsumerConfig(
                # Its name twice: the request's subject then says both name and filter.
                name=self._durable,
                durable_name=self._durable,
                filter_subject=self._only,
                filter_subjects=None if self._only else self._filters,
                deliver_policy=api.DeliverPolicy.ALL,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=self._ack_wait,
                # A job is never parked by the broker: attempts are counted in its state.
                max_deliver=-1,
                # What waits in a work queue for its time must not keep others from being delivered.
                max_ack_pending=-1 if self._stream in WORK_QUEUES else None,
            ),
        )
        self._epoch = self._link.epoch
        self._inbox, self._address = Inbox(), self._link.client.new_inbox()
        self._bound = await self._link.client.subscribe(self._address, cb=self._inbox.put)
