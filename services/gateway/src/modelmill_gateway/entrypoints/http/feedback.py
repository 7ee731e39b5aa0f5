"""What people say of answers and verdicts."""

from starlette.requests import Request

from modelmill_gateway.entrypoints.http.requests import (
    caller_of,
    idempotency_key_of,
    page,
)
from modelmill_gateway.entrypoints.schemas.base import Page
from modelmill_gateway.entrypoints.schemas.feedback import (
    FeedbackBody,
    FeedbackRecord,
    RecordedFeedback,
)
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.guarding.record_feedback import RecordFeedback


class FeedbackRoutes:
    """/v1/feedback."""

    def __init__(self, record_feedback: RecordFeedback) -> None:
        self._record_feedback = record_feedback

    async def record_feedback(self, request: Request) -> RecordedFeedback:
        body = await read_body(request, FeedbackBody)
        recorded = await self._record_feedback(
            body.feedback, caller_of(request), idempotency_key=idempotency_key_of(request)
        )
        return RecordedFeedback.of(recorded)

    async def list_feedback(self, request: Request) -> Page[FeedbackRecord]:
        said = await self._record_feedback.list(caller_of(request))
        return page(request, said, FeedbackRecord.of_recorded, lambda it: it.feedback_id)

    async def get_feedback(self, request: Request) -> FeedbackRecord:
        feedback_id = request.path_params["feedback_id"]
        found = await self._record_feedback.get(feedback_id, caller_of(request))
        return FeedbackRecord.of_recorded(found)
