"""How spans of RPCs are named and what they say, by OpenTelemetry's conventions for RPCs.

Neither a message nor the words of a status goes into a span: either may quote what a user wrote.
"""

import grpc
from opentelemetry.trace import Span, Status, StatusCode
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
    """End a call's span with its status."""
    if span.is_recording():
        span.set_attribute(STATUS_CODE, code.name)
        if is_error:
            span.set_attribute(ERROR_TYPE, code.name)
            span.set_status(Status(StatusCode.ERROR))
    span.end()
