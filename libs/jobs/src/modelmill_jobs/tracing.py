"""Spans of jobs, in the trace of whoever asked for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modelmill.jobs.v1.job_pb2 import JobRequested, JobResumed
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind

from modelmill_jobs.envelope import Stored

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
def job_span(ordered: Stored[JobRequested], woken_by: Stored[Any]) -> Iterator[Span]:
    """The span of one attempt, in the trace of the request for the job.

    A job that runs because somebody resumed it runs in that person's trace, with a link to the
    request's.
    """
    request = ordered.body
    resumed = isinstance(woken_by.body, JobResumed)
    attributes = {"job.id": request.job_id, "job.kind": request.kind, "tenant": request.tenant}
    with tracer.start_as_current_span(
        f"job {request.kind}",
        context=woken_by.trace if resumed else ordered.trace,
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        links=_links(ordered.trace) if resumed else (),
    ) as span:
        yield span


@contextmanager
def process_span(template: str, parent: Context) -> Iterator[None]:
    """The span of one handled message, in the trace of its writer, linked to the span it is in."""
    with tracer.start_as_current_span(
        f"process {template}",
        context=parent,
        kind=SpanKind.CONSUMER,
        attributes={"messaging.system": "nats", "messaging.destination.name": template},
        links=_links(otel_context.get_current()),
    ):
        yield


def _links(to: Context) -> tuple[Link, ...]:
    """A link to the span of a context, if it has one."""
    span = trace.get_current_span(to).get_span_context()
    return (Link(span),) if span.is_valid else ()
