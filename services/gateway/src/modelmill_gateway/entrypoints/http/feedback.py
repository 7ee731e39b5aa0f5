"""What people say of answers and verdicts."""

from modelmill.gateway.v1.gateway_events_pb2 import FeedbackRecorded
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.entrypoints.bodies.feedback_body import FeedbackBody
from modelmill_gateway.entrypoints.bodies.parsing import read_body
from modelmill_gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.views.job_views import View, unix_seconds
from modelmill_gateway.entrypoints.views.pages import page_view
from modelmill_gateway.guarding.record_feedback import REPORTS, RecordFeedback

REPORTED = {message: report.value for report, message in REPORTS.items() if report is not None}


class FeedbackRoutes:
    """/v1/feedback."""

    def __init__(self, record_feedback: RecordFeedback) -> None:
        self._record_feedback = record_feedback

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "record_feedback": self._post,
            "list_feedback": self._list,
            "get_feedback": self._get,
        }

    async def _post(self, request: Request) -> Response:
        body = await read_body(request, FeedbackBody)
        recorded = await self._record_feedback(
            body.feedback, caller_of(request), idempotency_key=idempotency_key_of(request)
        )
        return json_response(feedback_view(recorded))

    async def _list(self, request: Request) -> Response:
        said = await self._record_feedback.list(caller_of(request))
        page = page_of(said, page_request_of(request), lambda record: record.feedback_id)
        return json_response(page_view(page, said_view))

    async def _get(self, request: Request) -> Response:
        feedback_id = request.path_params["feedback_id"]
        return json_response(
            said_view(await self._record_feedback.get(feedback_id, caller_of(request)))
        )


def said_view(recorded: FeedbackRecorded) -> View:
    """All that was said, by whom."""
    return {
        **feedback_view(recorded),
        "caller": recorded.caller,
        "score": recorded.score if recorded.HasField("score") else None,
        "report": REPORTED.get(recorded.report),
        "text": recorded.text or None,
        "direction": recorded.direction or None,
        "categories": list(recorded.categories),
        "rules": list(recorded.rules),
        "comment": recorded.comment or None,
    }


def feedback_view(recorded: FeedbackRecorded) -> View:
    """That it was recorded; what was said is not said again."""
    return {
        "id": recorded.feedback_id,
        "object": "feedback",
        "created_at": unix_seconds(recorded.at),
        "request_id": recorded.request_id or None,
    }
