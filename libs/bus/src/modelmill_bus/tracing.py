"""Spans of messages, in the trace of whoever wrote them."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind

tracer = trace.get_tracer(__name__)


@contextmanager
def within(parent: Context) -> Iterator[None]:
    """The block, and what it publishes, belongs to the trace of `parent`."""
    token = otel_context.attach(parent)
    try:
        yield
    finally:
        otel_context.detach(token)


@contextmanager
def process_span(template: str, parent: Context) -> Iterator[None]:
    """The span of one handled message, in the trace of its writer, linked to the span it is in."""
    with tracer.start_as_current_span(
        f"process {template}",
        context=parent,
        kind=SpanKind.CONSUMER,
        attributes={"messaging.system": "nats", "messaging.destination.name": template},
        links=links_to(otel_context.get_current()),
    ):
        yield


def links_to(to: Context) -> tuple[Link, ...]:
    """A link to the span of a context, if it has one."""
    span = trace.get_current_span(to).get_span_context()
    return (Link(span),) if span.is_valid else ()
