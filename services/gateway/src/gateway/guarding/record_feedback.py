"""Record what people say of answers and verdicts, for whoever improves models and policies."""

import hashlib
from typing import Protocol
from uuid import uuid4

from modelmill.gateway.v1 import gateway_events_pb2 as pb

from gateway.domain.access import Caller
from gateway.domain.feedback import Feedback, Report
from gateway.measures import FEEDBACK

REPORTS = {
    None: pb.FEEDBACK_REPORT_UNSPECIFIED,
    Report.FALSE_POSITIVE: pb.FEEDBACK_REPORT_FALSE_POSITIVE,
    Report.MISSED: pb.FEEDBACK_REPORT_MISSED,
}


class FeedbackRecords(Protocol):
    """Where they are kept; a second record of one id is none."""

    async def record(self, feedback: pb.FeedbackRecorded) -> None: ...


class RecordFeedback:
    """Keeps it under the caller's tenant and name."""

    def __init__(self, records: FeedbackRecords) -> None:
        self._records = records

    async def __call__(
        self, feedback: Feedback, caller: Caller, *, idempotency_key: str
    ) -> pb.FeedbackRecorded:
        """What was recorded, once it is stored.

        Raises:
            UnavailableError: the bus is away, or holds as much as it may.
        """
        record = pb.FeedbackRecorded(
            request_id=feedback.request_id,
            tenant=caller.tenant,
            caller=caller.subject,
            score=feedback.score,
            report=REPORTS[feedback.report],
            text=feedback.text,
            direction=feedback.direction,
            categories=feedback.categories,
            rules=feedback.rules,
            comment=feedback.comment,
        )
        record.feedback_id = _id_of(record, idempotency_key)
        record.at.GetCurrentTime()
        await self._records.record(record)
        FEEDBACK.labels(feedback.report.value if feedback.report else "none").inc()
        return record


def _id_of(said: pb.FeedbackRecorded, idempotency_key: str) -> str:
    """A new id, or for a key always the same one, as long as the same is said under it."""
    if not idempotency_key:
        return f"fb-{uuid4().hex}"
    key = idempotency_key.encode() + b"\0" + said.SerializeToString(deterministic=True)
    return f"fb-{hashlib.sha256(key).hexdigest()[:32]}"
