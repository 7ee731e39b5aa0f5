"""Spans of jobs, in the trace of whoever asked for them."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelmill.jobs.v1.job_pb2 import JobRequested
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind

from jobs.envelope import Stored

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
def job_span(ordered: Stored[JobRequested]) -> Iterator[Span]:
    """The span of one attempt, in the trace of the request for the job."""
    request = ordered.body
    attributes = {"job.id": request.job_id, "job.kind": request.kind, "tenant": request.tenant}
    with tracer.start_as_current_span(
        f"job {request.kind}",
        context=ordered.trace,
        kind=SpanKind.CONSUMER,
        attributes=attributes,
    ) as span:
        yield span


@contextmanager
def process_span(template: str, parent: Context) -> Iterator[None]:
    """The span of one handled message, in the trace of its writer."""
    with tracer.start_as_current_span(
        f"process {template}",
        context=parent,
        kind=SpanKind.CONSUMER,
        attributes={"messaging.system": "nats", "messaging.destination.name": template},
    ):
        yield
