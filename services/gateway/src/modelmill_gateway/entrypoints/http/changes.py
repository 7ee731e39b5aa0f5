"""Handlers that change something, with a record of it behind the answer; and the list of those."""

import json
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import ChangeRecorded
from modelmill_bus.envelope import Stored
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.changes import is_change
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.routes import ROUTES
from modelmill_gateway.entrypoints.http.requests import (
    Handler,
    Handlers,
    caller_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.views.job_views import View, unix_seconds
from modelmill_gateway.entrypoints.views.pages import page_view
from modelmill_gateway.identity.record_changes import RecordChanges


class ChangeRoutes:
    """/v1/audit."""

    def __init__(self, changes: RecordChanges) -> None:
        self._changes = changes

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {"list_changes": self._list}

    async def _list(self, request: Request) -> Response:
        shown = [change_view(each) for each in self._changes.list(caller_of(request))]
        page = page_of(shown, page_request_of(request), lambda view: str(view["id"]))
        return json_response(page_view(page, lambda view: view))


def change_view(stored: Stored[ChangeRecorded]) -> View:
    """Who changed what, and when."""
    change = stored.body
    return {
        "id": f"change-{stored.event_id}",
        "object": "audit.change",
        "at": unix_seconds(change.at),
        "subject": change.subject,
        "key_id": change.key_id or None,
        "route": change.route,
        "object_id": change.object_id or None,
        "request_id": change.request_id,
    }


def with_records(handlers: Handlers, changes: RecordChanges) -> Handlers:
    """The handlers; those that change something record what they said yes to."""
    changing = {route.name for route in ROUTES if is_change(route)}
    return {
        name: _recorded(name, handler, changes) if name in changing else handler
        for name, handler in handlers.items()
    }


def _recorded(route_name: str, handler: Handler, changes: RecordChanges) -> Handler:
    async def answer(request: Request) -> Response:
        response = await handler(request)
        told = _told(response)
        if told.get("written") is not False:
            named = "/".join(map(str, request.path_params.values()))
            object_id = named or str(told.get("id") or "")
            changes.record(route_name, object_id, request.state.request_id, caller_of(request))
        return response

    return answer


def _told(response: Response) -> dict[str, Any]:
    """The answer's fields."""
    try:
        fields = json.loads(getattr(response, "body", b"") or b"{}")
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
