"""Spans of jobs, in the trace of whoever asked for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modelmill.jobs.v1.job_pb2 import JobRequested, JobResumed
from modelmill_bus.envelope import Stored
from modelmill_bus.tracing import links_to
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

tracer = trace.get_tracer(__name__)


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
        links=links_to(ordered.trace) if resumed else (),
    ) as span:
        yield span
