"""One way to wrap gRPC handlers, whichever of the four shapes they have."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import grpc

from modelmill_service_kit.request_reading import request_reader

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

        async def unary(request: Any, context: Any) -> Any:
            async with self.around(method, context):
                return await inner(received(read(request), context), context)

        async def streaming(request: Any, context: Any) -> None:
            async with self.around(method, context):
                await _write_responses(inner, received(read(request), context), context)

        wrapped = streaming if handler.response_streaming else unary
        make = getattr(grpc, f"{shape}_rpc_method_handler")
        return make(wrapped, None, handler.response_serializer)

    def around(self, method: str, context: Any) -> AbstractAsyncContextManager[None]:
        """An async context manager in which the handler of `method` runs."""
        raise NotImplementedError

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
