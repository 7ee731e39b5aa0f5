"""Handlers that change something or hand out rows, with a record of it behind the answer."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.routes import ROUTES, is_recorded
from modelmill_gateway.entrypoints.http.requests import (
    Handler,
    Handlers,
    Responder,
    caller_of,
    json_response,
    page,
)
from modelmill_gateway.entrypoints.schemas.base import Page
from modelmill_gateway.entrypoints.schemas.keys import Change
from modelmill_gateway.identity.record_changes import RecordChanges


class ChangeRoutes:
    """/v1/audit."""

    def __init__(self, changes: RecordChanges) -> None:
        self._changes = changes

    async def list_changes(self, request: Request) -> Page[Change]:
        changes = [Change.of_stored(each) for each in self._changes.list(caller_of(request))]
        return page(request, changes, lambda change: change, lambda change: change.id)


def with_records(
    handlers: Handlers, changes: RecordChanges, statuses: Mapping[str, int]
) -> dict[str, Responder]:
    """The handlers, responding in JSON; those of recorded routes record what they said yes to.

    Args:
        statuses: of successes, by the names of the route table.
    """
    recorded = {route.name for route in ROUTES if is_recorded(route)}
    return {
        name: _responding(name, handler, statuses[name], changes if name in recorded else None)
        for name, handler in handlers.items()
    }


def _responding(
    route_name: str, handler: Handler, status: int, changes: RecordChanges | None
) -> Responder:
    async def respond(request: Request) -> Response:
        answer = await handler(request)
        if changes is not None and getattr(answer, "written", True):
            named = "/".join(map(str, request.path_params.values()))
            object_id = named or str(getattr(answer, "id", ""))
            changes.record(route_name, object_id, request.state.request_id, caller_of(request))
        return answer if isinstance(answer, Response) else json_response(answer, status)

    return respond
