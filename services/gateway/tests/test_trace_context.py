"""A request belongs to its caller's trace, whatever ran on its connection before."""

from gateway.entrypoints.http_app import in_a_fresh_trace_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

EARLIER = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)))


async def test_a_request_does_not_see_the_span_in_whose_context_it_was_read():
    seen = []

    async def app(scope, receive, send):
        seen.append(trace.get_current_span().get_span_context().is_valid)

    with trace.use_span(EARLIER):
        await app({}, None, None)
        await in_a_fresh_trace_context(app)({}, None, None)
        assert trace.get_current_span() is EARLIER

    assert seen == [True, False]
