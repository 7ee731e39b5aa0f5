import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from modelmill_testkit.ports import free_port
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

# Tests import what they share as `service_kit_support.…`.
sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def unused_port() -> Callable[[], int]:
    return free_port


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Every span of this process that ends from now on."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    exporter = InMemorySpanExporter()
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()
