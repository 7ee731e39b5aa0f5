"""Changes on their way to `change.recorded.<tenant>`, behind the answers; and back, to be shown."""

from collections import deque
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import ChangeRecorded
from modelmill_bus.bus import Bus, Publishes
from modelmill_bus.envelope import Stored
from modelmill_bus.record_queue import RecordQueue
from modelmill_bus.subjects import change_recorded
from modelmill_registry.read_model import ReadModel

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


class ChangeLog(ReadModel):
    """Read model of `change.recorded.*`: the newest of each tenant."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, ("change.recorded.*",))
        self._changes: dict[str, deque[Stored[ChangeRecorded]]] = {}

    def list(self, tenant: str) -> list[Stored[ChangeRecorded]]:
        """The tenant's changes, newest first."""
        return list(self._changes.get(tenant, ()))[::-1]

    def _apply(self, stored: Stored[Any]) -> None:
        # The subject says whose they are: that is what the broker's permissions guard.
        tenant = stored.subject.rpartition(".")[2]
        self._changes.setdefault(tenant, deque(maxlen=KEPT)).append(stored)
