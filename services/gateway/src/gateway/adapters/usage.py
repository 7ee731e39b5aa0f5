"""Usage records on their way to the bus: behind the answers, never in front of them."""

import asyncio
import logging
import uuid

from jobs.publishing import Publishes
from jobs.record_queue import Waiting, publish_patiently
from jobs.subjects import usage_recorded
from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch, UsageRecorded

from gateway.measures import USAGE_DROPPED

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.25
"""Records of so long go out in one message: one each cost an answer a quarter of a millisecond."""
MOST_AT_ONCE = 250
"""Records of a message: half of what the bus takes, were each as long as one can be."""


class UsageQueue:
    """A bounded queue in front of `usage.recorded.<tenant>`.

    While the bus is away records wait, up to the bound; what comes on top is dropped and counted.

    Args:
        size: records that may wait.
    """

    def __init__(self, bus: Publishes, size: int) -> None:
        self._bus = bus
        self._size = size
        self._waiting: dict[str, list[UsageRecorded]] = {}
        """By tenant, in the order in which they came."""
        self._count = 0
        """Of all that wait and of those that are under way."""
        self._has_some, self._has_none = asyncio.Event(), asyncio.Event()
        self._has_none.set()

    def record(self, usage: UsageRecorded) -> None:
        """Take the record; returns at once, whatever the bus does."""
        if self._count >= self._size:
            USAGE_DROPPED.inc()
            return
        self._count += 1
        self._waiting.setdefault(usage.tenant, []).append(usage)
        self._has_none.clear()
        self._has_some.set()

    async def run(self) -> None:
        """Publish what waits until cancelled."""
        while True:
            await self._has_some.wait()
            await asyncio.sleep(GATHER_SECONDS)
            while self._waiting:
                await self._publish(*self._next())
            self._has_some.clear()
            self._has_none.set()

    async def drain(self, timeout: float) -> None:
        """Wait until everything is published, at most `timeout` seconds; the rest is dropped."""
        try:
            await asyncio.wait_for(self._has_none.wait(), timeout)
        except TimeoutError:
            USAGE_DROPPED.inc(self._count)
            log.warning("%d usage records were dropped at the end", self._count)

    def _next(self) -> tuple[str, list[UsageRecorded]]:
        tenant, records = next(iter(self._waiting.items()))
        if len(records) > MOST_AT_ONCE:
            self._waiting[tenant] = records[MOST_AT_ONCE:]
        else:
            del self._waiting[tenant]
        return tenant, records[:MOST_AT_ONCE]

    async def _publish(self, tenant: str, records: list[UsageRecorded]) -> None:
        batch = UsageBatch(tenant=tenant, requests=records)
        going = Waiting(usage_recorded(tenant), batch, uuid.uuid4().hex)
        if not await publish_patiently(self._bus, "usage records", going):
            USAGE_DROPPED.inc(len(records))
        self._count -= len(records)
