"""Usage records on their way to the bus: behind the answers, never in front of them."""

from jobs.publishing import Publishes
from jobs.record_queue import RecordQueue
from jobs.subjects import usage_recorded
from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded

from gateway.measures import USAGE_DROPPED


class UsageQueue(RecordQueue):
    """A bounded queue in front of `usage.recorded.<tenant>`."""

    def __init__(self, bus: Publishes, size: int) -> None:
        super().__init__(bus, "usage records", size, USAGE_DROPPED.inc)

    def record(self, usage: UsageRecorded) -> None:
        """Take the record; returns at once, whatever the bus does."""
        self.put(usage_recorded(usage.tenant), usage, msg_id=usage.request_id)
