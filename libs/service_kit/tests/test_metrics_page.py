"""/metrics shows itself to holders of the secret alone."""

import urllib.error
import urllib.request

import pytest
from modelmill_service_kit.metrics import MetricsPage, exemplar_of
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, format_trace_id
from prometheus_client import CollectorRegistry, Histogram


def get(port: int, token: str | None, **headers: str) -> str:
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()


def test_a_holder_of_the_secret_reads_the_metrics():
    with MetricsPage("127.0.0.1:0", "s3cret") as page:
        assert "modelmill_rpc_server_seconds" in get(page.port, "s3cret")


@pytest.mark.parametrize("token", [None, "", "S3cret", "s3cret2"])
def test_nobody_else_reads_them(token):
    with MetricsPage("127.0.0.1:0", "s3cret") as page:
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(page.port, token)
        refused.value.close()
    assert refused.value.code == 401


def test_readers_of_openmetrics_see_the_trace_of_a_measurement_that_is_recorded():
    registry = CollectorRegistry()
    seconds = Histogram("example_seconds", "Seconds.", registry=registry, buckets=(1,))
    span = TracerProvider().get_tracer("tests").start_span("call")
    seconds.observe(0.5, exemplar_of(span))
    trace_id = format_trace_id(span.get_span_context().trace_id)
    with MetricsPage("127.0.0.1:0", "s3cret", registry) as page:
        assert f'trace_id="{trace_id}"' in get(
            page.port, "s3cret", Accept="application/openmetrics-text; version=1.0.0"
        )
        assert trace_id not in get(page.port, "s3cret")
    assert exemplar_of(NonRecordingSpan(span.get_span_context())) is None
