"""Channels to other services: secret, trace context, and errors back as domain errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from service_kit.grpc_server import MAX_MESSAGE_BYTES
from service_kit.status import error_from_rpc


def open_channel(target: str, secret: str) -> grpc.aio.Channel:
    """A channel that presents `secret` on every call and carries the current trace."""
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A service that restarts is found again within a second, not after gRPC's default of 120.
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    interceptors = [*aio_client_interceptors(), *_secret_interceptors(secret)]
    return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)


def _secret_interceptors(secret: str) -> list[grpc.aio.ClientInterceptor]:
    def with_secret(details: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata["authorization"] = f"Bearer {secret}"
        return details._replace(metadata=metadata)

    class UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            return await continuation(with_secret(details), request)

    class UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
        async def intercept_unary_stream(
            self, continuation: Any, details: Any, request: Any
        ) -> Any:
            return await continuation(with_secret(details), request)

    class StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
        async def intercept_stream_unary(
            self, continuation: Any, details: Any, requests: Any
        ) -> Any:
            return await continuation(with_secret(details), requests)

    class StreamStream(grpc.aio.StreamStreamClientInterceptor):
        async def intercept_stream_stream(
            self, continuation: Any, details: Any, requests: Any
        ) -> Any:
            return await continuation(with_secret(details), requests)

    return [UnaryUnary(), UnaryStream(), StreamUnary(), StreamStream()]


@contextmanager
def domain_errors() -> Iterator[None]:
    """Within the block, a status that stands for a domain error is raised as that error."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        domain_error = error_from_rpc(error)
        if domain_error is None:
            raise
        raise domain_error from error
