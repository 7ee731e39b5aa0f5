"""Procedures that change something, with a record of it behind the answer."""

from collections.abc import Awaitable, Callable
from typing import Any

from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.domain.routes import ROUTES, is_change
from modelmill_gateway.entrypoints.grpc.middleware import ROUTE_OF, Handlers
from modelmill_gateway.identity.record_changes import RecordChanges

NAMING = ("name", "model")
"""Fields beside those that end in `id` by which a request names what it changes."""


def with_records(handlers: Handlers, changes: RecordChanges) -> Handlers:
    """The handlers; those whose equal routes change something record what succeeds."""
    changing = {route.name for route in ROUTES if is_change(route)}
    return {
        name: _recorded(ROUTE_OF[name], handler, changes) if _route(name) in changing else handler
        for name, handler in handlers.items()
    }


def _route(procedure: str) -> str:
    # A procedure without a route is the middleware's business, which stops the process.
    return ROUTE_OF.get(procedure, "")


def _recorded(
    route: str, handler: Any, changes: RecordChanges
) -> Callable[[Any, RequestContext], Awaitable[Any]]:
    async def answer(request: Any, call: RequestContext) -> Any:
        response = await handler(request, call)
        object_id = _named(request) or _named(response)
        changes.record(route, object_id, call.request_id, call.caller)
        return response

    return answer


def _named(message: Any) -> str:
    """The first id that a message or one within it has; empty for what is no message."""
    for field, value in message.ListFields() if hasattr(message, "ListFields") else ():
        named = field.name in NAMING or field.name.endswith("id")
        if named and isinstance(value, str):
            return value
        if hasattr(value, "ListFields") and (found := _named(value)):
            return found
    return ""
