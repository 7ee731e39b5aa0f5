"""Feedback on its way to the bus, whose giver waits until it is stored; and back, to be shown."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import FeedbackRecorded
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import feedback_recorded
from modelmill_registry.read_model import ReadModel
from modelmill_service_kit.errors import DeadlineError, UnavailableError

FILTER = "feedback.recorded.*"
SHOWN = 1000
"""Of a tenant; the stream has all."""
KEPT_SECONDS = 365 * 24 * 3600.0
"""As long as the stream keeps it."""
CATCH_UP_SECONDS = 5.0


class FeedbackStream:
    """`feedback.recorded.<tenant>`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def record(self, feedback: FeedbackRecorded) -> None:
        """Store it; one id is stored once in a day. Raises UnavailableError."""
        subject = feedback_recorded(feedback.tenant)
        await self._bus.publish(subject, feedback, msg_id=feedback.feedback_id)


class FeedbackBook(ReadModel):
    """Read model of `feedback.recorded.*`: the newest of each tenant.

    It is read from its beginning when somebody first asks, and followed from then on: it may hold
    long texts, and most replicas are never asked.
    """

    def __init__(self, bus: Bus, now: Callable[[], float]) -> None:
        super().__init__(bus, (FILTER,))
        self._store = bus
        self._now = now
        self._records: dict[str, deque[FeedbackRecorded]] = {}
        self._is_wanted = asyncio.Event()

    async def run(self) -> None:
        """Follow as soon as somebody asks, until cancelled."""
        await self._is_wanted.wait()
        await super().run()

    async def of(self, tenant: str) -> list[FeedbackRecorded]:
        """The tenant's newest thousand of a year, newest first, as the stream has them now.

        Raises:
            UnavailableError: the bus is away, or it takes too long to read up to here.
        """
        self._is_wanted.set()
        try:
            await self.wait_for(await self._store.newest_sequence(FILTER), CATCH_UP_SECONDS)
        except DeadlineError as error:
            raise UnavailableError("feedback is still being read. Ask again") from error
        since = self._now() - KEPT_SECONDS
        kept = self._records.get(tenant, deque())
        return [record for record in reversed(kept) if record.at.seconds > since]

    def _apply(self, stored: Stored[Any]) -> None:
        if stored.sequence <= self._applied:
            return
        # The subject says whose it is: that is what the broker's permissions guard.
        tenant = stored.subject.rpartition(".")[2]
        self._records.setdefault(tenant, deque(maxlen=SHOWN)).append(stored.body)
