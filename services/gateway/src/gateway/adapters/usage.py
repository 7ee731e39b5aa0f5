"""Usage records on their way to the bus: behind the answers, never in front of them."""

import asyncio
import logging

from jobs.bus import Bus
from jobs.subjects import usage_recorded
from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from prometheus_client import Counter, Histogram
from service_kit.errors import DomainError

log = logging.getLogger(__name__)

DROPPED = Counter("modelmill_gateway_usage_dropped_total", "Usage records that were lost.")
TOKENS = Counter("modelmill_gateway_tokens_total", "Tokens of answered requests.", ["kind"])
FIRST_TOKEN_SECONDS = Histogram(
    "modelmill_gateway_first_token_seconds",
    "Seconds from a request's arrival to the engine's first piece of its answer.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


class UsageQueue:
    """A bounded queue in front of `usage.recorded.<tenant>`.

    While the bus is away records wait, up to the bound; what comes on top is dropped and counted.
    """

    def __init__(self, bus: Bus, size: int) -> None:
        self._bus = bus
        self._waiting: asyncio.Queue[UsageRecorded] = asyncio.Queue(size)

    def record(self, usage: UsageRecorded) -> None:
        """Take the record; returns at once, whatever the bus does."""
        FIRST_TOKEN_SECONDS.observe(usage.first_token_seconds)
        TOKENS.labels("prompt").inc(usage.prompt_tokens)
        TOKENS.labels("completion").inc(usage.completion_tokens)
        try:
            self._waiting.put_nowait(usage)
        except asyncio.QueueFull:
            DROPPED.inc()

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
            DROPPED.inc(self._waiting.qsize())
            log.warning("%d usage records were dropped at the end", self._waiting.qsize())

    async def _publish(self, usage: UsageRecorded) -> None:
        try:
            subject = usage_recorded(usage.tenant)
            await self._bus.publish(subject, usage, msg_id=usage.request_id)
        except DomainError as error:
            DROPPED.inc()
            log.warning("a usage record was dropped: %s", error)
