"""What a request over HTTP names: read from its path and body before its handler sees them."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from pydantic_core import from_json

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.model_names import ModelNames, Named, Reach, names_at
from modelmill_gateway.entrypoints.http.request_head import whole_body

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


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

    async def receiving() -> MutableMapping[str, Any]:
        return events.pop() if events else await receive()

    return receiving
