"""Turning the bytes of a request into its message, once the caller is known."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from modelmill_service_kit.errors import UnreadableRequestError

Deserializer = Callable[[bytes], Any]


def request_reader(deserialize: Deserializer | None, *, streaming: bool) -> Callable[[Any], Any]:
    """A function from what gRPC received to what a handler takes.

    Args:
        deserialize: bytes to a message; None passes on what came.
        streaming: what comes is an iterator of messages, not a single one.
    """
    if deserialize is None:
        return _as_it_is
    return partial(_read_each if streaming else _read, deserialize)


def _as_it_is(request: Any) -> Any:
    return request


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
