"""A request's span: in its caller's trace, named by the table, and telling how it ended."""

import pytest
from modelmill_gateway.entrypoints.http import middleware as http_span
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

EARLIER = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)))
CALLER = (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")


@pytest.fixture
def spans(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(http_span, "tracer", provider.get_tracer("test"))
    return exporter


def test_a_request_does_not_see_the_span_in_whose_context_it_was_read(spans):
    with trace.use_span(EARLIER):
        with http_span.server_span("GET", "/v1/models", []):
            seen = trace.get_current_span().get_span_context()
        assert trace.get_current_span() is EARLIER

    assert seen.trace_id != EARLIER.get_span_context().trace_id
    assert spans.get_finished_spans()[0].parent is None


def test_a_request_is_a_child_of_its_callers_span(spans):
    with http_span.server_span("GET", "/v1/models", [(b"host", b"x"), CALLER]):
        pass

    parent = spans.get_finished_spans()[0].parent
    assert (f"{parent.trace_id:x}", f"{parent.span_id:x}") == ("a" * 32, "b" * 16)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (200, StatusCode.UNSET, None),
        (404, StatusCode.UNSET, None),
        (503, StatusCode.ERROR, "503"),
    ],
)
def test_only_the_servers_own_faults_are_errors(spans, status, code, error):
    with http_span.server_span("GET", "/v1/models/{model}", []) as span:
        span.answered(status)

    (span,) = spans.get_finished_spans()
    assert span.name == "GET /v1/models/{model}"
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes.get("error.type") == error
    assert span.status.status_code is code


def test_what_a_caller_makes_up_is_not_told(spans):
    with http_span.server_span("BREW", None, []):
        pass

    (span,) = spans.get_finished_spans()
    assert span.name == "_OTHER unknown"
    assert "BREW" not in str(dict(span.attributes))


def test_an_answer_that_broke_off_is_an_error(spans):
    def break_off():
        with http_span.server_span("GET", "/v1/models", []) as span:
            span.answered(200)
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        break_off()

    (span,) = spans.get_finished_spans()
    assert span.attributes["error.type"] == "ConnectionAbortedError"
    assert span.status.status_code is StatusCode.ERROR
