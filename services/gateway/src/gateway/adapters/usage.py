"""Usage records on their way to the bus: behind the answers, never in front of them."""

import asyncio
import logging

from jobs.bus import Bus
from jobs.subjects import usage_recorded
from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from service_kit.errors import DomainError

from gateway.measures import USAGE_DROPPED

log = logging.getLogger(__name__)


class UsageQueue:
    """A bounded queue in front of `usage.recorded.<tenant>`.

    While the bus is away records wait, up to the bound; what comes on top is dropped and counted.
    """

    def __init__(self, bus: Bus, size: int) -> None:
        self._bus = bus
        self._waiting: asyncio.Queue[UsageRecorded] = asyncio.Queue(size)

    def record(self, usage: UsageRecorded) -> None:
        """Take the record; returns at once, whatever the bus does."""
        try:
            self._waiting.put_nowait(usage)
        except asyncio.QueueFull:
            USAGE_DROPPED.inc()

    async def run(self) -> None:
        """Publish what waits until cancelled."""
        while True:
            await self._publish(await self._waiting.get())
            self._waiting.task_done()

    async def drain(self, timeout: float) -> None:
        """Wait until everything is published, at most `timeout` seconds; the rest is dropped."""
        try:
            await asyncio.wait_for(self._waiting.join(), timeout)
        except TimeoutError:
            USAGE_DROPPED.inc(self._waiting.qsize())
            log.warning("%d usage records were dropped at the end", self._waiting.qsize())

    async def _publish(self, usage: UsageRecorded) -> None:
        try:
            subject = usage_recorded(usage.tenant)
            await self._bus.publish(subject, usage, msg_id=usage.request_id)
        except DomainError as error:
            USAGE_DROPPED.inc()
            log.warning("a usage record was dropped: %s", error)
