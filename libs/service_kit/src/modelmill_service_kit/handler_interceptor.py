"""Interceptors around gRPC handlers of all four kinds (unary and streaming)."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from opentelemetry import context as trace_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from modelmill_service_kit.errors import PermissionDeniedError, UnreadableRequestError
from modelmill_service_kit.metrics import RPC_SECONDS, exemplar_of
from modelmill_service_kit.observed_channel import (
    SERVER_ERRORS,
    call_attributes,
    end_call_span,
    span_name,
)

Deserializer = Callable[[bytes], Any]


def request_reader(deserialize: Deserializer | None, *, streaming: bool) -> Callable[[Any], Any]:
    """Deserialiser of requests, applied in the handler's task.

    Args:
        deserialize: bytes to a message; None passes on what came.
        streaming: what comes is an iterator of messages, not a single one.
    """
    if deserialize is None:
        return lambda request: request
    return partial(_read_each if streaming else _read, deserialize)


def _read(deserialize: Deserializer, raw: bytes) -> Any:
    try:
        return deserialize(raw)
    except DecodeError:
        # What the parser says names our classes and helps nobody.
        raise UnreadableRequestError(
            "the request is not a protobuf message of the type that this method takes"
        ) from None


async def _read_each(deserialize: Deserializer, requests: AsyncIterator[bytes]) -> Any:
    async for raw in requests:
        yield _read(deserialize, raw)


Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]
HEALTH_SERVICE = "/grpc.health.v1.Health/"
"""Probes carry no secret and come every few seconds, and the answer is one word."""


class HandlerInterceptor(grpc.aio.ServerInterceptor):
    """Runs every handler within `around`, and parses the request only there.

    gRPC hands on the bytes as they came. Of several interceptors the innermost makes messages of
    them: nothing is parsed before each of them has let the caller in.
    """

    wraps_health = False
    """Whether health's handlers are run so, too."""

    def __init__(self) -> None:
        # By method: what gRPC found, and what it gets instead. Both stay the same for all calls.
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or (not self.wraps_health and method.startswith(HEALTH_SERVICE)):
            return handler
        found, wrapped = self._wrapped.get(method, (None, None))
        if found is not handler:
            wrapped = self._wrap(method, handler)
            self._wrapped[method] = (handler, wrapped)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Any:
        shapes = ("unary", "stream")
        shape = f"{shapes[handler.request_streaming]}_{shapes[handler.response_streaming]}"
        inner = getattr(handler, shape)

        read = request_reader(handler.request_deserializer, streaming=handler.request_streaming)
        received = self.received if handler.request_streaming else _as_it_is
        receiving = self.receiving if handler.request_streaming else nullcontext

        async def unary(request: Any, context: Any) -> Any:
            async with self.around(method, context), receiving(context):
                return await inner(received(read(request), context), context)

        async def streaming(request: Any, context: Any) -> None:
            async with self.around(method, context), receiving(context):
                await _write_responses(inner, received(read(request), context), context)

        wrapped = streaming if handler.response_streaming else unary
        make = getattr(grpc, f"{shape}_rpc_method_handler")
        return make(wrapped, None, handler.response_serializer)

    def around(self, method: str, context: Any) -> AbstractAsyncContextManager[None]:
        """An async context manager in which the handler of `method` runs."""
        raise NotImplementedError

    def receiving(self, context: Any) -> AbstractAsyncContextManager[None]:
        """An async context manager in which a handler runs that takes a stream of requests."""
        return nullcontext()

    def received(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """The stream of requests as the handler shall see it."""
        return requests


def _as_it_is(request: Any, _context: Any) -> Any:
    return request


async def _write_responses(handler: Any, request: Any, context: Any) -> None:
    """Send what `handler` yields, and close it in this task, however the call ends.

    gRPC would drop a generator whose call is cancelled while a response is being sent: its clean-up
    would wait for the garbage collector and run in a context that is not its own.
    """
    if inspect.iscoroutinefunction(handler):
        await handler(request, context)
        return
    async with aclosing(handler(request, context)) as responses:
        async for response in responses:
            try:
                await context.write(response)
            except grpc.aio.InternalError as error:
                # The connection broke; the cancel that tells us so may come after this.
                raise asyncio.CancelledError from error


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
            RPC_SECONDS.labels(method=method, code=code.name).observe(
                time.perf_counter() - began, exemplar_of(span)
            )
            end_call_span(span, code, is_error=code in SERVER_ERRORS)


def _why_cancelled(context: Any) -> grpc.StatusCode:
    """gRPC cancels a handler both when its caller left and when the caller's deadline passed.

    The caller's clock may be the first to say so: its goodbye then comes just before our own.
    """
    remaining: float | None = context.time_remaining()
    if remaining is not None and remaining <= CLOCKS_APART_SECONDS:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED


class CallerInterceptor(HandlerInterceptor):
    """Rejects callers whose certificate name is not in `callers`, also with a valid certificate.

    Args:
        callers: DNS names, one of which must be in the caller's certificate.
    """

    def __init__(self, callers: Collection[str]) -> None:
        super().__init__()
        self._callers = frozenset(name.encode() for name in callers)

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        # gRPC gives the certificate's alternative names, after its own check of the signature.
        if self._callers.isdisjoint(context.peer_identities() or ()):
            raise PermissionDeniedError(f"{method} is not for whom this certificate names")
        yield
