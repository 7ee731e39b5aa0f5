"""gRPC channel that adds secret, trace context and one span to each call.

It stands before gRPC's own channel rather than inside it as interceptors: those put every call into
one more task, which costs more than the span, and hide gRPC's call object behind one of their own.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

SYSTEM = "rpc.system.name"
METHOD = "rpc.method"
STATUS_CODE = "rpc.response.status_code"
ERROR_TYPE = "error.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

SERVER_ERRORS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Statuses that are the server's fault; the others only say that the caller was told no."""


def span_name(method: str) -> str:
    """The span of a call to `/package.Service/Method`."""
    return method.removeprefix("/")


def call_attributes(method: str, address: str | None = None) -> dict[str, AttributeValue]:
    """What is known when a call begins; `address` is the server's, as channels are given it."""
    attributes: dict[str, AttributeValue] = {SYSTEM: "grpc", METHOD: span_name(method)}
    if address is not None:
        host, _, port = address.rpartition("/")[2].rpartition(":")
        attributes[SERVER_ADDRESS] = host or address
        if port.isdigit():
            attributes[SERVER_PORT] = int(port)
    return attributes


def end_call_span(span: Span, code: grpc.StatusCode, *, is_error: bool) -> None:
    """End a call's span with its status.

    Neither a message nor the words of a status goes into a span: either may quote what a user
    wrote.
    """
    if span.is_recording():
        span.set_attribute(STATUS_CODE, code.name)
        if is_error:
            span.set_attribute(ERROR_TYPE, code.name)
            span.set_status(Status(StatusCode.ERROR))
    span.end()


tracer = trace.get_tracer(__name__)
propagator = TraceContextTextMapPropagator()

SECOND_LOOK_SECONDS = 0.05


class ObservedChannel(grpc.aio.Channel):
    """Hands out what makes calls, as stubs ask for it; the rest is the channel's own.

    Args:
        target: where the channel goes, for the spans.
        secret: presented on every call.
    """

    def __init__(self, channel: grpc.aio.Channel, target: str, secret: str) -> None:
        self._channel = channel
        self._target = target
        self._authorization = f"Bearer {secret}"

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._observed(method, self._channel.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        make_call = self._channel.unary_stream(method, *args, **kwargs)
        return self._observed(method, _ends_with_its_task(make_call))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._observed(method, self._channel.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        make_call = self._channel.stream_stream(method, *args, **kwargs)
        return self._observed(method, _ends_with_its_task(make_call))

    def _observed(self, method: str, make_call: Any) -> Callable[..., Any]:
        name, attributes = span_name(method), call_attributes(method, self._target)

        def observed(*args: Any, metadata: Any = (), **kwargs: Any) -> Any:
            span = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
            sent = grpc.aio.Metadata(*(metadata or ()))
            sent["authorization"] = self._authorization
            propagator.inject(sent, context=trace.set_span_in_context(span))
            try:
                call = make_call(*args, metadata=sent, **kwargs)
            except BaseException:
                end_call_span(span, grpc.StatusCode.UNKNOWN, is_error=True)
                raise
            call.add_done_callback(_OpenSpan(span).over)
            return call

        return observed

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    async def __aenter__(self) -> "ObservedChannel":
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._channel.__aexit__(*error)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()


def _ends_with_its_task(make_call: Any) -> Callable[..., Any]:
    """Calls that answer with a stream, cancelled when the task that made them ends cancelled.

    Expected: gRPC cancels the call of a reader that is cancelled. Actual: not in the tick in which
    the request has just been sent; the server would work on for nobody until the call's deadline.
    """

    def made(*args: Any, **kwargs: Any) -> Any:
        call = make_call(*args, **kwargs)
        task = asyncio.current_task()
        if task is not None:

            def ended(task: asyncio.Task[Any]) -> None:
                if task.cancelled():
                    call.cancel()

            task.add_done_callback(ended)
            call.add_done_callback(lambda _call: task.remove_done_callback(ended))
        return call

    return made


class _OpenSpan:
    """Ends a span once, although gRPC may say twice that a call is over.

    A client that is still sending when the server answers first hears INTERNAL from its own side,
    and the server's status a moment later.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._looks = 0
        self._ended = False

    def over(self, call: Any) -> None:
        """Note the status; INTERNAL is looked at a second time."""
        code = _status_of(call)
        self._looks += 1
        if code is grpc.StatusCode.INTERNAL and self._looks == 1:
            asyncio.get_running_loop().call_later(SECOND_LOOK_SECONDS, self.over, call)
        elif not self._ended:
            self._ended = True
            end_call_span(self._span, code, is_error=code is not grpc.StatusCode.OK)


def _status_of(call: Any) -> grpc.StatusCode:
    """The status of a call that is over: gRPC keeps it behind a coroutine, which need not wait."""
    asking = call.code()
    try:
        asking.send(None)
    except StopIteration as answered:
        code: grpc.StatusCode = answered.value
        return code
    asking.close()
    return grpc.StatusCode.UNKNOWN
