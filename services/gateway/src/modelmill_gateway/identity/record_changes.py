"""Write down who changed what, and show it."""

from collections.abc import Sequence

from modelmill.gateway.v1.gateway_events_pb2 import ChangeRecorded
from modelmill_bus.bus import Bus, Publishes
from modelmill_bus.envelope import Stored
from modelmill_bus.keyed_store import RecentLog
from modelmill_bus.record_queue import RecordQueue
from modelmill_bus.subjects import change_recorded

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.metrics import CHANGES_DROPPED

MAX_ID_CHARS = 128


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


class RecordChanges:
    """Audit log of changes: one record for each that succeeded, without what was written."""

    def __init__(self, trail: ChangeTrail, log: RecentLog[ChangeRecorded]) -> None:
        self._trail = trail
        self._log = log

    def record(self, route_name: str, object_id: str, request_id: str, caller: Caller) -> None:
        """Take the record; returns at once, whatever the bus does."""
        change = ChangeRecorded(
            tenant=caller.tenant,
            subject=caller.subject,
            key_id=caller.key_id,
            route=route_name,
            object_id=object_id[:MAX_ID_CHARS],
            request_id=request_id,
        )
        change.at.GetCurrentTime()
        self._trail.record(change)

    def list(self, caller: Caller) -> Sequence[Stored[ChangeRecorded]]:
        """What the tenant's people changed, newest first; the last thousand."""
        return self._log.list(caller.tenant)
