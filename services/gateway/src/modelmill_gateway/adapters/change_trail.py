"""Changes on their way to `change.recorded.<tenant>`, behind the answers; and back, to be shown."""

from modelmill.gateway.v1.gateway_events_pb2 import ChangeRecorded
from modelmill_bus.bus import Bus, Publishes
from modelmill_bus.keyed_store import RecentLog
from modelmill_bus.record_queue import RecordQueue
from modelmill_bus.subjects import change_recorded

from modelmill_gateway.metrics import CHANGES_DROPPED

KEPT = 1000
"""Changes of a tenant that are shown; the stream has all of a year."""


class ChangeTrail(RecordQueue):
    """A bounded queue in front of `change.recorded.<tenant>`."""

    def __init__(self, bus: Publishes, size: int) -> None:
        super().__init__(bus, "records of changes", size, CHANGES_DROPPED.inc)

    def record(self, change: ChangeRecorded) -> None:
        """Take the record; returns at once, whatever the bus does."""
        self.put(change_recorded(change.tenant), change, msg_id=change.request_id)


def change_log(bus: Bus) -> RecentLog[ChangeRecorded]:
    """Read model of `change.recorded.*`: the newest of each tenant."""
    return RecentLog(bus, "change.recorded", kept=KEPT)
