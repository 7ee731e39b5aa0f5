"""Bytes that come in messages: a header first, then pieces, passed on as they come."""

from collections.abc import AsyncIterator
from typing import Any

from modelmill_service_kit.errors import InvalidInputError, TooLargeError

MAX_CHUNK_BYTES = 1024 * 1024


async def header_of(requests: AsyncIterator[Any]) -> Any:
    """What the first message says of the bytes to come.

    Raises:
        InvalidInputError: it says nothing.
    """
    first = await anext(aiter(requests), None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidInputError("the first message must carry the header")
    return first.header


async def chunks_of(requests: AsyncIterator[Any], max_bytes: int) -> AsyncIterator[bytes]:
    """The bytes behind the header; the next message is read once this one is passed on.

    Raises:
        InvalidInputError: a message carries no chunk, or one that is too large.
        TooLargeError: all together have more bytes than `max_bytes`.
    """
    seen = 0
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise InvalidInputError("every message after the first must carry a chunk")
        if len(request.chunk) > MAX_CHUNK_BYTES:
            raise InvalidInputError(f"chunk: must be at most {MAX_CHUNK_BYTES} bytes")
        seen += len(request.chunk)
        if seen > max_bytes:
            raise TooLargeError(f"the file is larger than {max_bytes} bytes")
        yield request.chunk
