"""One server span a request, by OpenTelemetry's conventions for HTTP; the path's template only.

Our own rather than the instrumentation's, which costs a chat more than middleware and route do
together, and would put the path and its ids into the span.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

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
    """The span of one request, a child of its caller's and of nothing else.

    A request's task starts with the context in which its bytes were read. When an earlier request
    of the same connection had paused and resumed reading (an upload does), that is the earlier
    request's context, and this one would end up in its trace instead of its own caller's.

    Args:
        method: as the caller wrote it.
        template: the route's; None when there is none, and then the method is not told either.
        headers: of the request, names in lower case.
    """
    given = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name in TRACE_HEADERS
    }
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
