"""Feedback on its way to the bus: whoever gave it waits until it is stored."""

from jobs.bus import Bus
from jobs.subjects import feedback_recorded
from modelmill.gateway.v1.gateway_events_pb2 import FeedbackRecorded


class FeedbackStream:
    """`feedback.recorded.<tenant>`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def record(self, feedback: FeedbackRecorded) -> None:
        """Store it; one id is stored once in a day. Raises UnavailableError."""
        subject = feedback_recorded(feedback.tenant)
        await self._bus.publish(subject, feedback, msg_id=feedback.feedback_id)
