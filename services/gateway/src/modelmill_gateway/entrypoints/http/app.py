"""The HTTP app: handlers hung on the route table, OpenAPI made of it, the middleware in front."""

import asyncio
import gzip
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from modelmill_bus.asyncapi import asyncapi_document
from modelmill_service_kit.errors import UnavailableError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp

from modelmill_gateway.domain.request_context import RequestIds
from modelmill_gateway.domain.routes import ROUTES, Body
from modelmill_gateway.entrypoints.document.openapi import openapi_document
from modelmill_gateway.entrypoints.document.reference_page import index_page, reference_page
from modelmill_gateway.entrypoints.http.middleware import Middleware
from modelmill_gateway.entrypoints.http.request_head import takes_gzip
from modelmill_gateway.entrypoints.http.requests import Responder, json_response
from modelmill_gateway.entrypoints.schemas.base import Health
from modelmill_gateway.identity.credentials import Credentials
from modelmill_gateway.identity.require_models import RequireModels

JSON, HTML = "application/json", "text/html"
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Pages of ours fetch nothing and run nothing."""
OWN_SPANS: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI's own telemetry would give every request a second span, and log messages of errors."""


def build_http_app(
    *,
    verifier: Credentials,
    require_models: RequireModels,
    request_ids: RequestIds,
    handlers: Mapping[str, Responder],
    hot: Mapping[str, ASGIApp],
    limits: dict[Body, int],
    stopping: asyncio.Event,
) -> Middleware:
    """The whole HTTP side as one ASGI app.

    Args:
        handlers: by the names of the route table.
        hot: the same for routes that are plain ASGI.
        limits: bytes that a body may have, by its kind.
        stopping: set when the process is about to end.

    Raises:
        LookupError: a route of the table has no handler, or a handler no route.
    """
    by_name = {route.name: route for route in ROUTES}
    # Its document would come from signatures; ours comes from the route table.
    app = FastAPI(telemetry=OWN_SPANS, openapi_url=None, docs_url=None, redoc_url=None)
    answering: dict[str, Any] = {
        **handlers,
        **hot,
        **_own_handlers(stopping),
    }
    if different := answering.keys() ^ by_name.keys():
        raise LookupError(f"routes and handlers differ: {different}")
    for name, route in by_name.items():
        hung = StarletteRoute(route.path, answering[name], methods=[route.method])
        app.router.routes.append(hung)
    # The router alone: what the app has around it would make statuses of errors once more.
    return Middleware(app.router, verifier, require_models, request_ids, limits, hot)


def _health(stopping: asyncio.Event) -> Responder:
    """The event loop turns, and no end is near; whether peers answer is not asked."""

    async def answer(_: Request) -> Response:
        if stopping.is_set():
            raise UnavailableError("the process is about to end").because("DRAINING")
        return json_response(Health())

    return answer


def _own_handlers(stopping: asyncio.Event) -> dict[str, Responder]:
    """Of what is open to all."""
    return {
        **dict.fromkeys(("health", "ready"), _health(stopping)),
        **{name: _written(*page) for name, page in _pages().items()},
    }


@cache
def _pages() -> dict[str, tuple[bytes, str]]:
    """By the names of their routes, the same for all gateways of a process."""
    return {
        "openapi": (_as_json(openapi_document()), JSON),
        "asyncapi": (_as_json(asyncapi_document()), JSON),
        "index": (index_page(), HTML),
        "reference": (reference_page(openapi_document()), HTML),
    }


def _as_json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _written(content: bytes, media_type: str) -> Responder:
    """The same for everybody, written and compressed once: whoever asks needs no token."""
    policy = {"content-security-policy": PAGE_POLICY} if media_type == HTML else {}
    headers = policy | {"vary": "accept-encoding"}
    compressed = cache(lambda: gzip.compress(content, mtime=0))

    async def answer(request: Request) -> Response:
        if not takes_gzip(request.headers):
            return Response(content, headers=headers, media_type=media_type)
        coded = headers | {"content-encoding": "gzip"}
        return Response(compressed(), headers=coded, media_type=media_type)

    return answer
