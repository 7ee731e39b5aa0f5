"""What the head of a request says about it, and how much of a body it may bring."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from modelmill_service_kit.errors import TooLargeError
from starlette.requests import ClientDisconnect

from modelmill_gateway.domain.errors import BadRequestError, UnsupportedEncodingError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

SECONDS_HEADER = b"x-request-timeout"
STICKY_HEADER = b"x-modelmill-sticky"


def refuse_encoding(scope: Scope) -> None:
    """Nothing is decoded: a body that says it is encoded would be read as something else.

    Raises:
        UnsupportedEncodingError: it says so.
    """
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            said = value[:40].decode("latin-1")
            raise UnsupportedEncodingError(
                f"content-encoding: {said} is not decoded. "
                "Send the body as it is, without this header"
            )


def caller_choices(scope: Scope) -> tuple[float | None, str]:
    """The time limit that the caller sets, and its sticky key.

    Raises:
        BadRequestError: the limit is no number of seconds.
    """
    seconds, sticky_key = None, ""
    for name, value in scope["headers"]:
        if name == STICKY_HEADER:
            sticky_key = value.decode("latin-1")
        elif name == SECONDS_HEADER:
            try:
                seconds = float(value)
            except ValueError:
                seconds = 0.0
            if not 0 < seconds < float("inf"):
                said = f"{SECONDS_HEADER.decode()}: must be a number of seconds above 0"
                raise BadRequestError(said, param=SECONDS_HEADER.decode())
    return seconds, sticky_key


def limited(receive: Receive, scope: Scope, limit: int | None) -> Receive:
    """`receive`, which raises TooLargeError beyond `limit` bytes of body; None does not look.

    Raises:
        TooLargeError: the headers already say that the body is too large.
    """
    if limit is None:
        return receive
    declared = next((v for name, v in scope["headers"] if name == b"content-length"), b"0")
    message = f"the body is larger than {limit} bytes"
    if int(declared) > limit:
        raise TooLargeError(message)
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        event = await receive()
        seen += len(event.get("body", b""))
        if seen > limit:
            raise TooLargeError(message)
        return event

    return counting


async def whole_body(receive: Receive) -> bytes:
    """The request's body; the middleware has set a limit to it.

    Raises:
        ClientDisconnect: the client left before it was complete.
    """
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
