"""What people say of answers and verdicts."""

from modelmill.gateway.v1.gateway_events_pb2 import FeedbackRecorded
from starlette.requests import Request
from starlette.responses import Response

from gateway.entrypoints.bodies.feedback_body import FeedbackBody
from gateway.entrypoints.bodies.parsing import read_body
from gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
)
from gateway.entrypoints.views.job_views import View, unix_seconds
from gateway.guarding.record_feedback import RecordFeedback


class FeedbackRoutes:
    """/v1/feedback."""

    def __init__(self, record_feedback: RecordFeedback) -> None:
        self._record_feedback = record_feedback

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {"record_feedback": self._post}

    async def _post(self, request: Request) -> Response:
        body = await read_body(request, FeedbackBody)
        recorded = await self._record_feedback(
            body.feedback, caller_of(request), idempotency_key=idempotency_key_of(request)
        )
        return json_response(feedback_view(recorded))


def feedback_view(recorded: FeedbackRecorded) -> View:
    """That it was recorded; what was said is not said again."""
    return {
        "id": recorded.feedback_id,
        "object": "feedback",
        "created_at": unix_seconds(recorded.at),
        "request_id": recorded.request_id or None,
    }
