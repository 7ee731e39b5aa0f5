"""Write down who changed what, and show it."""

from collections.abc import Sequence
from typing import Protocol

from modelmill.gateway.v1.gateway_events_pb2 import ChangeRecorded
from modelmill_bus.envelope import Stored

from modelmill_gateway.domain.access import Caller

MAX_ID_CHARS = 128


class Trail(Protocol):
    """Takes records without waiting."""

    def record(self, change: ChangeRecorded) -> None: ...


class Log(Protocol):
    """What was recorded, newest first."""

    def list(self, tenant: str) -> Sequence[Stored[ChangeRecorded]]: ...


class RecordChanges:
    """One record for each change that succeeded; never what was written, only that it was."""

    def __init__(self, trail: Trail, log: Log) -> None:
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
