"""Answers to requests that never reach the app: in OpenAI's shape, and the connection's last."""

import http
import json
from typing import Any

FULL_RETRY_SECONDS = 2


class WireError(ValueError):
    """A request that is not HTTP/1.1 as it is served here.

    Args:
        status: of the answer.
        message: what is wrong, and what to do about it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def refusal_body(status: int, message: str) -> bytes:
    """The error as OpenAI's clients read it."""
    error = {
        "message": message,
        "type": "server_error" if status >= 500 else "invalid_request_error",
        "param": None,
        "code": "unavailable" if status == 503 else "bad_request",
        "request_id": None,
    }
    return json.dumps({"error": error}).encode()


def whole_refusal(error: WireError) -> bytes:
    """The answer as it is written to the socket."""
    body = refusal_body(error.status, error.message)
    head = (
        f"HTTP/1.1 {error.status} {http.HTTPStatus(error.status).phrase}\r\n"
        "content-type: application/json\r\nx-content-type-options: nosniff\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


async def refuse_full(_scope: Any, _receive: Any, send: Any) -> None:
    """An ASGI app that has no room."""
    body = refusal_body(503, "too many connections")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(FULL_RETRY_SECONDS).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
