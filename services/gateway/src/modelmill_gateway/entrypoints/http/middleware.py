"""What every HTTP request passes before a handler sees it: table, token, size; and what it leaves.

Pure ASGI, so that streams are neither buffered nor cut off from their client's disconnect.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from modelmill_service_kit.errors import NotFoundError, UnauthenticatedError
from modelmill_service_kit.nearest import did_you_mean
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelmill_gateway.domain.access import CHAT
from modelmill_gateway.domain.errors import MethodNotAllowedError
from modelmill_gateway.domain.request_context import (
    UNENDED_ROUTES,
    RequestContext,
    RequestIds,
    nobodys_id,
)
from modelmill_gateway.domain.routes import ROUTES, Body, Dialect, Match, Route, match
from modelmill_gateway.entrypoints.access_log import log_access
from modelmill_gateway.entrypoints.http.errors import (
    Headers,
    error_body,
    error_headers,
    http_status,
    refusal_in,
)
from modelmill_gateway.entrypoints.http.request_head import (
    as_get,
    caller_choices,
    limited,
    named_in,
    refuse_encoding,
)
from modelmill_gateway.identity.credentials import Credentials
from modelmill_gateway.identity.require_models import RequireModels
from modelmill_gateway.metrics import HTTP_REQUESTS, HTTP_SECONDS

log = logging.getLogger(__name__)

NAMED_BY = {
    Dialect.OPENAI: (b"x-request-id",),
    Dialect.ANTHROPIC: (b"x-request-id", b"request-id"),
}
"""Headers that name the request, by whose clients are answered."""
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
"""Answers quote what somebody wrote; no browser shall take one for a page or a script."""
CLIENT_GONE = 499
"""Counted, never sent: the client left before an answer began."""
PROBES = ("health", "ready")
"""Come every few seconds and say nothing worth a line or a span."""


class Middleware:
    """Deny by default: a request without a row in the table, or without its scope, goes no further.

    Leaves `request_id` and `context` (None on open routes) in `scope["state"]`.

    Args:
        app: answers what is not hot.
        hot: by the names of the route table, apps that are reached without what lies before others.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Credentials,
        require_models: RequireModels,
        request_ids: RequestIds,
        limits: dict[Body, int],
        hot: Mapping[str, ASGIApp] | None = None,
    ) -> None:
        self._app = app
        self._hot = hot or {}
        self._verifier = verifier
        self._require_models = require_models
        self._request_ids = request_ids
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, within its span."""
        if scope["method"] == "HEAD":
            scope, send = as_get(scope, send)
        found = match(scope["method"], scope["path"])
        route = found.route
        response = _Response(send, nobodys_id(), _dialect(found))
        if route is not None and route.name in PROBES:
            await self._answer(found, scope, receive, response)
            return
        template = route.path if route is not None else None
        started = time.perf_counter()
        with server_span(scope["method"], template, scope["headers"]) as span:
            try:
                await self._answer(found, scope, receive, response)
            finally:
                status = response.status or CLIENT_GONE
                span.answered(status)
                _log_access(scope, template, status, time.perf_counter() - started)

    async def _answer(
        self, found: Match, scope: Scope, receive: Receive, response: "_Response"
    ) -> None:
        name = found.route.name if found.route else "unknown"
        started = time.perf_counter()
        scope["state"] |= {"request_id": response.request_id, "context": None}
        try:
            route = _known(found, scope["path"])
            context = await self._admitted(scope, route, response)
            if route.body is not Body.NONE:
                refuse_encoding(scope)
            if context is not None and route.scope == CHAT:
                seconds, sticky_key = caller_choices(scope)
                context = replace(context, seconds=seconds, sticky_key=sticky_key)
                scope["state"]["context"] = context
            bounded = limited(receive, scope, self._limits.get(route.body))
            if context is not None and context.caller.models is not None:
                named, bounded = await named_in(route.models, found.places, bounded)
                self._require_models(context.caller, route.models, named)
            answering = self._hot.get(name, self._app)
            if context is None or not context.caller.key_id or name in UNENDED_ROUTES:
                await answering(scope, bounded, response.send)
            else:
                with self._verifier.holding(context.caller.key_id) as in_hand:
                    scope["state"]["context"] = replace(context, in_hand=in_hand)
                    await answering(scope, bounded, response.send)
        except ClientDisconnect:
            log.debug("the client of request %s left early", response.request_id)
        except Exception as error:
            await _refuse(error, name, response, _dialect(found))
        finally:
            HTTP_REQUESTS.labels(name, response.status or CLIENT_GONE).inc()
            HTTP_SECONDS.labels(name).observe(time.perf_counter() - started)

    async def _admitted(
        self, scope: Scope, route: Route, response: "_Response"
    ) -> RequestContext | None:
        """Who asks, if they may; from then on the request is one of their tenant's."""
        if route.is_open:
            return None
        caller = await self._verifier.verify(_credential(scope))
        route.require(caller)
        response.request_id = self._request_ids.new(caller.tenant)
        context = RequestContext(caller, response.request_id)
        scope["state"] |= {"context": context, "request_id": response.request_id}
        return context


async def _refuse(error: Exception, name: str, response: "_Response", dialect: Dialect) -> None:
    """Answer with the error, in a frame that its traceback does not have.

    A refusal that a frame of its own traceback names is a cycle: thousands of them wait for the
    collector, and nobody is answered for the tenth of a second in which it takes them away.
    """
    refusal = refusal_in(error, name, response.request_id)
    body = error_body(refusal, response.request_id, dialect)
    await response.finish(http_status(refusal), error_headers(refusal), body)


def _credential(scope: Scope) -> str:
    """The token or key, of OpenAI's header or of Anthropic's; two of them are one too many."""
    given = [each for each in scope["headers"] if each[0] in (b"authorization", b"x-api-key")]
    name, value = given[0] if len(given) == 1 else (b"", b"")
    if name == b"x-api-key":
        return str(value.decode("latin-1"))
    scheme, _, token = value.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthenticatedError("send one header: Authorization: Bearer <token>, or x-api-key")
    return str(token)


def _log_access(scope: Scope, template: str | None, status: int, seconds: float) -> None:
    state, method = scope["state"], scope["method"] if template is not None else "unknown"
    context: RequestContext | None = state["context"]
    tenant = context.caller.tenant if context is not None else None
    log_access(method, template or "unknown", status, seconds, state["request_id"], tenant)


class _Response:
    """The way out: names the request on every answer and remembers how far it got."""

    def __init__(self, send: Send, request_id: str, dialect: Dialect) -> None:
        self.status = 0
        self.request_id = request_id
        self._send = send
        self._named_by = NAMED_BY[dialect]
        self._complete = False

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._names()]
        else:
            self._complete = not message.get("more_body", False)
        await self._send(message)

    def _names(self) -> Headers:
        request_id = self.request_id.encode()
        return [*((name, request_id) for name in self._named_by), NO_SNIFFING]

    async def finish(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer this way if nothing was answered yet.

        Raises:
            ConnectionAbortedError: an answer had begun; the server must cut the connection, or the
                client would take half an answer for a whole one.
        """
        if self._complete:
            return
        if self.status:
            raise ConnectionAbortedError("an answer broke off")
        length = (b"content-length", str(len(body)).encode())
        await self.send(
            {"type": "http.response.start", "status": status, "headers": [*headers, length]}
        )
        await self.send({"type": "http.response.body", "body": body})


def _dialect(found: Match) -> Dialect:
    return Dialect.OPENAI if found.route is None else found.route.dialect


def _known(found: Match, path: str) -> Route:
    if found.route is not None:
        return found.route
    if found.allowed:
        raise MethodNotAllowedError(found.allowed)
    near = did_you_mean(path, (each.path for each in ROUTES if "{" not in each.path))
    raise NotFoundError(f"there is no such path.{near} /docs lists all")


tracer = trace.get_tracer(__name__)
propagator = TraceContextTextMapPropagator()

TRACE_HEADERS = (b"traceparent", b"tracestate")
SERVER_FAULT = 500
UNKNOWN = "_OTHER"


class ServerSpan:
    """Within its block, what is traced is traced below the request's span."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def answered(self, status: int) -> None:
        """Say how the request ended; a caller's mistake is no error of the server's."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= SERVER_FAULT:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(Status(StatusCode.ERROR))


@contextmanager
def server_span(
    method: str, template: str | None, headers: list[tuple[bytes, bytes]]
) -> Iterator[ServerSpan]:
    """The server span of one request, by OpenTelemetry's conventions: its caller's child alone.

    Our own rather than the instrumentation's, which costs a chat more than middleware and route do
    together, and would put the path and its ids into the span.

    A request's task starts with the context in which its bytes were read. When an earlier request
    of the same connection had paused and resumed reading (an upload does), that is the earlier
    request's context, and this one would end up in its trace instead of its own caller's.

    Args:
        method: as the caller wrote it.
        template: the route's; None when there is none, and then the method is not told either.
        headers: of the request, names in lower case.
    """
    traced = [each for each in headers if each[0] in TRACE_HEADERS]
    given = {name.decode("latin-1"): value.decode("latin-1") for name, value in traced}
    parent = propagator.extract(given, context=Context())
    told = method if template is not None else UNKNOWN
    span = tracer.start_span(
        f"{told} {template or 'unknown'}",
        context=parent,
        kind=SpanKind.SERVER,
        attributes={"http.request.method": told, "http.route": template or "unknown"},
    )
    token = otel_context.attach(trace.set_span_in_context(span, parent))
    try:
        yield ServerSpan(span)
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        otel_context.detach(token)
        span.end()
