"""Queue of records for the bus, published after answers and never before them."""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from google.protobuf.message import Message
from modelmill_service_kit.errors import UnavailableError

from modelmill_bus.bus import Publishes

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
AT_ONCE = 8
"""Records on their way at a time: the bus answers each only once it is on disk."""


class Waiting(NamedTuple):
    """A record, and where it goes; one id for all attempts, for one may have been stored."""

    subject: str
    body: Message
    msg_id: str


class RecordQueue:
    """A bounded queue in front of the bus, for facts that nobody waits for.

    While the bus is away records wait, up to the bound; what comes on top is dropped and counted.
    Records that were put one after the other may be stored the other way round.

    Args:
        what: the records, in the words of the log.
        size: how many may wait.
        dropped: counts records that were lost.
    """

    def __init__(
        self, bus: Publishes, what: str, size: int, dropped: Callable[[float], None]
    ) -> None:
        self._bus = bus
        self._what = what
        self._dropped = dropped
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue(size)
        self._under_way = 0

    def put(self, subject: str, body: Message, *, msg_id: str) -> None:
        """Take a record; returns at once, whatever the bus does."""
        try:
            self._waiting.put_nowait(Waiting(subject, body, msg_id))
        except asyncio.QueueFull:
            self._dropped(1)

    async def run(self) -> None:
        """Publish what waits until cancelled."""
        async with asyncio.TaskGroup() as publishing:
            for _ in range(AT_ONCE):
                publishing.create_task(self._work())

    async def drain(self, timeout: float) -> None:
        """Wait until everything is published, at most `timeout` seconds; the rest is dropped."""
        try:
            await asyncio.wait_for(self._waiting.join(), timeout)
        except TimeoutError:
            lost = self._waiting.qsize() + self._under_way
            self._dropped(lost)
            log.warning("%d %s were dropped at the end", lost, self._what)

    async def _work(self) -> None:
        while True:
            record = await self._waiting.get()
            self._under_way += 1
            try:
                await self._publish(record)
            finally:
                self._under_way -= 1
            self._waiting.task_done()

    async def _publish(self, record: Waiting) -> None:
        if not await publish_patiently(self._bus, self._what, record):
            self._dropped(1)


async def publish_patiently(bus: Publishes, what: str, record: Waiting) -> bool:
    """Publish, however long the bus is away; whether it was done.

    Args:
        what: the records, in the words of the log.
    """
    while True:
        try:
            await bus.publish(record.subject, record.body, msg_id=record.msg_id)
            return True
        except UnavailableError as error:
            log.info("%s wait: %s", what, error)
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:  # whatever is wrong with one record must not hold up the next
            log.exception("of %s one was dropped", what)
            return False
