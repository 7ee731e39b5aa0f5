"""What a request says before a handler sees it: its head, its size, the models that it names."""

import re
from collections.abc import Mapping
from typing import Any

from modelmill_service_kit.errors import TooLargeError
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from modelmill_gateway.domain.errors import BadRequestError, UnsupportedEncodingError
from modelmill_gateway.domain.model_names import ModelNames, Named, Reach, names_at

SECONDS_HEADER = b"x-request-timeout"
STICKY_HEADER = b"x-modelmill-sticky"
_NONE_OF_IT = re.compile(r"q=0(\.0*)?")


def takes_gzip(headers: Headers) -> bool:
    """Whether who asks wants an answer compressed by gzip."""
    for each in headers.get("accept-encoding", "").split(","):
        coding, _, weight = each.partition(";")
        if coding.strip().lower() == "gzip":
            return _NONE_OF_IT.fullmatch(weight.strip()) is None
    return False


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


def as_get(scope: Scope, send: Send) -> tuple[Scope, Send]:
    """The request as GET, and a way out on which the answer ends with its head.

    Whoever streams hears from the server that the request has ended, as when its client leaves.
    """
    has_ended = False

    async def send_head(message: Message) -> None:
        nonlocal has_ended
        if has_ended:
            return
        has_ended = True
        await send(message)
        await send({"type": "http.response.body", "body": b""})

    return {**scope, "method": "GET"}, send_head


async def named_in(
    models: ModelNames, places: Mapping[str, str], receive: Receive
) -> tuple[Named, Receive]:
    """What is named, and a `receive` that gives the handler the body which was read for it.

    The parser is that of the handlers: names are read as they will be.

    Raises:
        BadRequestError: the body is not JSON.
        ClientDisconnect: the client left before it had sent all.
    """
    said: tuple[str, ...] = ()
    if models.body:
        body = await whole_body(receive)
        parsed = _parsed(body)
        said = tuple(name for field in models.body for name in names_at(parsed, field))
        receive = _again(body, receive)
    place = places.get(models.path, "")
    if models.reach in (Reach.JOB, Reach.EVAL):
        return Named(said, place), receive
    return Named((*said, place) if place else said), receive


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError as error:
        message = f"the body is not valid JSON: {error}"
        raise BadRequestError(message, code="invalid_json") from None


def _again(body: bytes, receive: Receive) -> Receive:
    events = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Message:
        return events.pop() if events else await receive()

    return receiving
