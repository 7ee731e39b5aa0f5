"""Traces by OTLP when an endpoint is set, logs as JSON with trace ids. Never prompts or secrets."""

import json
import logging
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    Tracer,
    get_current_span,
)

from modelmill_service_kit.metrics import version_of
from modelmill_service_kit.settings import ServiceSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)


class SilentTracer(NoOpTracer):
    """Tracer without exporter: it propagates trace ids, or begins a new trace.

    OpenTelemetry's own way to record nothing, a sampler that drops every span, still makes each
    one: four of them were an eighth of what a chat took in the gateway.
    """

    def start_span(self, name: str, context: Context | None = None, *_: Any, **__: Any) -> Span:
        """The span around it, or the first one of a new trace."""
        around = get_current_span(context)
        if around.get_span_context().is_valid:
            return around
        # Ids are for telling traces apart, not secrets.
        return NonRecordingSpan(
            SpanContext(_some_bits(128), _some_bits(64), is_remote=False),
        )


class SilentTracerProvider(trace.TracerProvider):
    """Hands out silent tracers."""

    def get_tracer(self, *_: Any, **__: Any) -> Tracer:
        """The same for everybody."""
        return SilentTracer()

    def shutdown(self) -> None:
        """Nothing waits to be sent."""


def _some_bits(count: int) -> int:
    """Never 0, which would be no id."""
    return random.getrandbits(count) or 1


EXPORT_SECONDS = 3.0
"""How long a batch of spans may take, retries included: a stop waits for the last one."""

SPANS_AT_ONCE = 64
"""A batch is encoded in a thread that holds the interpreter; answers wait for a large one."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, service, logger, message, trace and span when there."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = trace.format_trace_id(span.trace_id)
            line["span_id"] = trace.format_span_id(span.span_id)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


OURS = "modelmill_"


def switch_debug_lines() -> bool:
    """Log DEBUG lines of our own code, or no more; whether it does now.

    Other libraries stay as they were set: their lines may hold what callers wrote.
    """
    names = {name.partition(".")[0] for name in logging.root.manager.loggerDict}
    loggers = [logging.getLogger(name) for name in names if name.startswith(OURS)]
    shows = not any(logger.level == logging.DEBUG for logger in loggers)
    for logger in loggers:
        logger.setLevel(logging.DEBUG if shows else logging.NOTSET)
    log.warning("debug lines of modelmill are %s", "on" if shows else "off")
    return shows


@contextmanager
def telemetry(service: str, settings: ServiceSettings) -> Iterator[None]:
    """Log and trace as `service` until the block ends, then send what is left."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    provider = _tracer_provider(service, settings)
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def _tracer_provider(
    service: str, settings: ServiceSettings
) -> "TracerProvider | SilentTracerProvider":
    if not settings.otlp_endpoint:
        # Nobody would read them: spans record nothing, but their ids go into logs and to peers.
        return SilentTracerProvider()
    return _exporting(service, settings)


def _exporting(service: str, settings: ServiceSettings) -> "TracerProvider":
    # Without an endpoint nobody waits for these, which are a tenth of what a service imports.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version_of(service)})
    provider = TracerProvider(resource=resource)
    token = settings.otlp_token
    headers = {"authorization": f"Bearer {token.get_secret_value()}"} if token else None
    exporter = OTLPSpanExporter(
        settings.otlp_endpoint, insecure=True, headers=headers, timeout=EXPORT_SECONDS
    )
    provider.add_span_processor(
        BatchSpanProcessor(exporter, schedule_delay_millis=500, max_export_batch_size=SPANS_AT_ONCE)
    )
    return provider
