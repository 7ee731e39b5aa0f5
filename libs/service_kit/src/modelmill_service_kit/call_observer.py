"""What a server tells of its calls: one span and one measurement each."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from opentelemetry import context as trace_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from modelmill_service_kit.handler_interceptor import HandlerInterceptor
from modelmill_service_kit.metrics import RPC_SECONDS
from modelmill_service_kit.rpc_conventions import (
    SERVER_ERRORS,
    call_attributes,
    end_call_span,
    span_name,
)

tracer = trace.get_tracer(__name__)
propagator = TraceContextTextMapPropagator()


CLOCKS_APART_SECONDS = 0.05
"""Who leaves so shortly before the deadline left because of it."""


class CallObserver(HandlerInterceptor):
    """Runs each handler within a server span, whose parent is the caller's span, and measures it.

    It must stand first: what comes after it turns errors into the status that is measured here.
    """

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        began = time.perf_counter()
        metadata = {key: value for key, value in context.invocation_metadata() or ()}
        parent = propagator.extract(metadata, context=trace_context.Context())
        span = tracer.start_span(
            span_name(method),
            context=parent,
            kind=SpanKind.SERVER,
            attributes=call_attributes(method),
        )
        # Never detached: gRPC runs each call in a task, and so in a context, of its own.
        trace_context.attach(trace.set_span_in_context(span, parent))
        code = grpc.StatusCode.UNKNOWN
        try:
            yield
            code = context.code() or grpc.StatusCode.OK
        except grpc.aio.AbortError:
            code = context.code() or code
            raise
        except asyncio.CancelledError:
            code = _why_cancelled(context)
            raise
        finally:
            RPC_SECONDS.labels(method=method, code=code.name).observe(time.perf_counter() - began)
            end_call_span(span, code, is_error=code in SERVER_ERRORS)


def _why_cancelled(context: Any) -> grpc.StatusCode:
    """gRPC cancels a handler both when its caller left and when the caller's deadline passed.

    The caller's clock may be the first to say so: its goodbye then comes just before our own.
    """
    remaining: float | None = context.time_remaining()
    if remaining is not None and remaining <= CLOCKS_APART_SECONDS:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED
