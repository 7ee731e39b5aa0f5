"""A gRPC server as every service runs it: secret, deadlines, domain errors, health, drain."""

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from opentelemetry.instrumentation.grpc import aio_server_interceptor

from service_kit.errors import DomainError, InvalidInputError, UnauthenticatedError
from service_kit.metrics import RPC_SECONDS
from service_kit.status import status_of, trailing_metadata

log = logging.getLogger(__name__)

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]
HEALTH_SERVICE = "/grpc.health.v1.Health/"
"""Open without the secret: probes carry none, and the answer is one word."""
MAX_MESSAGE_BYTES = 8 * 1024 * 1024


class HandlerInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler but health's in `around`, whichever of the four shapes it has."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(HEALTH_SERVICE):
            return handler
        method = handler_call_details.method
        shapes = ("unary", "stream")
        shape = f"{shapes[handler.request_streaming]}_{shapes[handler.response_streaming]}"
        inner = getattr(handler, shape)

        async def unary(request: Any, context: Any) -> Any:
            async with self.around(method, context):
                return await inner(request, context)

        async def streaming(request: Any, context: Any) -> AsyncIterator[Any]:
            async with self.around(method, context):
                async for response in inner(request, context):
                    yield response

        wrapped = streaming if handler.response_streaming else unary
        make = getattr(grpc, f"{shape}_rpc_method_handler")
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def around(self, method: str, context: Any) -> Any:
        """An async context manager in which the handler of `method` runs."""
        raise NotImplementedError


class DomainErrorInterceptor(HandlerInterceptor):
    """Turns domain errors into statuses and measures each call.

    An unknown error is a bug: it is logged whole and answered with INTERNAL and no details.
    """

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        with RPC_SECONDS.labels(method=method).time():
            try:
                yield
            except DomainError as error:
                context.set_trailing_metadata(trailing_metadata(error))
                await context.abort(status_of(error).grpc, f"{error.reason}: {error.message}")
            except (grpc.aio.AbortError, grpc.aio.UsageError):
                raise
            except Exception:
                log.exception("unexpected error in %s", method)
                await context.abort(grpc.StatusCode.INTERNAL, "INTERNAL: see the service's log")


class GateInterceptor(HandlerInterceptor):
    """Refuses a call that does not carry the shared secret, or that has no deadline."""

    def __init__(self, secret: str) -> None:
        self._expected = f"Bearer {secret}".encode()

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        metadata = {key: value for key, value in context.invocation_metadata() or ()}
        given = str(metadata.get("authorization", "")).encode()
        if not hmac.compare_digest(given, self._expected):
            raise UnauthenticatedError("the service secret is missing or wrong")
        if context.time_remaining() is None:
            raise InvalidInputError(f"{method} was called without a deadline; set a timeout")
        yield


class RpcServer:
    """A gRPC server with health; `serve` until the `async with` block ends, then drain.

    Args:
        address: host:port to listen on; port 0 takes a free one (see `port`).
        secret: what callers must present; None leaves authorization to the service (the gateway).
        drain_seconds: how long calls in hand may go on once the block ends.
    """

    def __init__(self, address: str, secret: str | None, *, drain_seconds: float = 10.0) -> None:
        interceptors: list[grpc.aio.ServerInterceptor] = [
            aio_server_interceptor(),
            DomainErrorInterceptor(),
        ]
        if secret is not None:
            interceptors.append(GateInterceptor(secret))
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        ]
        self.grpc = grpc.aio.server(interceptors=interceptors, options=options)
        self.port = 0
        self._address = address
        self._drain_seconds = drain_seconds
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)

    async def __aenter__(self) -> "RpcServer":
        # gRPC reports a taken port as a bare RuntimeError; OSError is what callers expect.
        try:
            self.port = self.grpc.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}: is the port taken?") from error
        await self.grpc.start()
        await self.set_ready(True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(grace=self._drain_seconds)

    async def set_ready(self, ready: bool) -> None:
        """Answer SERVING or NOT_SERVING to health checks of the whole server."""
        serving = health_pb2.HealthCheckResponse.SERVING
        await self._health.set("", serving if ready else health_pb2.HealthCheckResponse.NOT_SERVING)
