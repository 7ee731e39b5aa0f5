"""Feedback on the bus, whose giver waits until it is stored; and back, to be shown."""

from collections.abc import Callable

from modelmill.gateway.v1.gateway_events_pb2 import FeedbackRecorded
from modelmill_bus.bus import Bus
from modelmill_bus.keyed_store import RecentLog
from modelmill_bus.subjects import feedback_recorded

SHOWN = 1000
"""Of a tenant; the stream has all."""
KEPT_SECONDS = 365 * 24 * 3600.0
"""As long as the stream keeps it."""


class FeedbackBook(RecentLog[FeedbackRecorded]):
    """Read model of `feedback.recorded.*`: the newest of each tenant.

    Read on demand: it may hold long texts, and most replicas are never asked.
    """

    def __init__(self, bus: Bus, now: Callable[[], float]) -> None:
        super().__init__(bus, "feedback.recorded", kept=SHOWN, on_demand=True)
        self._now = now

    async def record(self, feedback: FeedbackRecorded) -> None:
        """Store it; one id is stored once in a day. Raises UnavailableError."""
        subject = feedback_recorded(feedback.tenant)
        await self._bus.publish(subject, feedback, msg_id=feedback.feedback_id)

    async def of(self, tenant: str) -> list[FeedbackRecorded]:
        """The tenant's newest thousand of a year, newest first, as the stream has them now.

        Raises:
            UnavailableError: the bus is away, or it takes too long to read up to here.
        """
        await self.catch_up()
        since = self._now() - KEPT_SECONDS
        return [each.body for each in self.list(tenant) if each.body.at.seconds > since]
