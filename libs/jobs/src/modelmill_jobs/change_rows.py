"""The stream of who changed what, a part of the table in `subjects`."""

from modelmill.gateway.v1.gateway_events_pb2 import ChangeRecorded

from modelmill_jobs.rows import DAY_SECONDS, MIB, Row, Stream

CHANGES = Stream(
    "CHANGES",
    (Row("change.recorded.{tenant}", ChangeRecorded, ("gateway",), ("gateway", "cli")),),
    max_bytes=64 * MIB,
    max_age_seconds=365 * DAY_SECONDS,
)
