"""The HTTP app: handlers hung on the route table, OpenAPI made of it, the gate in front."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from service_kit.errors import DomainError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from gateway.domain.routes import ROUTES, Body, match
from gateway.entrypoints.document.openapi import openapi_document
from gateway.entrypoints.http_errors import (
    error_body,
    error_headers,
    http_status,
    internal_error_body,
)
from gateway.entrypoints.http_gate import CLIENT_GONE, App, Gate, Receive, Scope, Send, Verifier
from gateway.entrypoints.http_requests import Handlers, json_response

UNTRACED = "/healthz"
OPENAPI = "openapi"
OWN_SPANS: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI's own telemetry would give every request a second span, and log messages of errors."""


class _TableApp(FastAPI):
    """FastAPI, whose document comes from the route table instead of from signatures."""

    def __init__(self, document: dict[str, Any], url: str) -> None:
        self._document = document
        super().__init__(telemetry=OWN_SPANS, openapi_url=url, docs_url=None, redoc_url=None)

    def openapi(self) -> dict[str, Any]:
        """The document."""
        return self._document


def build_http_app(
    *,
    verifier: Verifier,
    handlers: Handlers,
    hot: Mapping[str, App],
    limits: dict[Body, int],
) -> App:
    """The whole HTTP side as one ASGI app.

    Args:
        handlers: by the names of the route table.
        hot: the same for routes that are plain ASGI.
        limits: bytes that a body may have, by its kind.

    Raises:
        LookupError: a route of the table has no handler, or a handler no route.
    """
    document = openapi_document()
    by_name = {route.name: route for route in ROUTES}
    # FastAPI answers this one itself, with the document that it is given below.
    schema_route = by_name.pop(OPENAPI)
    app = _TableApp(document, schema_route.path)
    answering: dict[str, Any] = {**handlers, **hot, "health": _health}
    if answering.keys() != by_name.keys():
        raise LookupError(f"routes and handlers differ: {answering.keys() ^ by_name.keys()}")
    for name, route in by_name.items():
        app.router.routes.append(
            StarletteRoute(route.path, answering[name], methods=[route.method])
        )
    app.add_exception_handler(DomainError, _refuse)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _failed)
    traced = OpenTelemetryMiddleware(
        Gate(app, verifier, limits),
        excluded_urls=UNTRACED,
        default_span_details=_span_details,
        exclude_spans=["receive", "send"],
    )
    return in_a_fresh_trace_context(traced)


def in_a_fresh_trace_context(app: App) -> App:
    """`app`, blind to the spans of whatever happens to call it.

    A request's task starts with the context in which its bytes were read. When an earlier request
    of the same connection had paused and resumed reading (an upload does), that is the earlier
    request's context, and this one would end up in its trace instead of its own caller's.
    """

    async def fresh(scope: Scope, receive: Receive, send: Send) -> None:
        token = otel_context.attach(Context())
        try:
            await app(scope, receive, send)
        finally:
            otel_context.detach(token)

    return fresh


async def _health(_: Request) -> Response:
    """The event loop turns; whether peers answer is not asked."""
    return json_response({"status": "ok"})


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    response = Response(error_body(error, request.state.request_id), http_status(error))
    response.raw_headers.extend(error_headers(error))
    return response


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


async def _failed(request: Request, _error: Exception) -> Response:
    body = internal_error_body(request.state.request_id)
    return Response(body, 500, media_type="application/json")


def _span_details(scope: Scope) -> tuple[str, dict[str, Any]]:
    """A span name of bounded variety: the route's template, not the path with its ids."""
    route = match(scope["method"], scope["path"]).route
    path = route.path if route else "unknown"
    return f"{scope['method']} {path}", {"http.route": path}
