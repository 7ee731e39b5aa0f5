"""What several handlers read from a request, and how they answer."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import DEFAULT_LIMIT, MAX_LIMIT, PageRequest

Handler = Callable[[Request], Awaitable[Response]]
Handlers = dict[str, Handler]

MAX_KEY_CHARS = 255


def caller_of(request: Request) -> Caller:
    """The caller whom the gate let in."""
    return cast(Caller, request.state.caller)


def idempotency_key_of(request: Request) -> str:
    """The Idempotency-Key header, empty when there is none.

    Raises:
        BadRequestError: longer than 255 characters, or not printable.
    """
    key = request.headers.get("idempotency-key", "")
    if len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise BadRequestError(
            f"Idempotency-Key must be at most {MAX_KEY_CHARS} printable characters",
            param="idempotency-key",
        )
    return key


def page_request_of(request: Request) -> PageRequest:
    """The `after` and `limit` of a list.

    Raises:
        BadRequestError: limit is not a whole number from 1 to 100.
    """
    written = request.query_params.get("limit", str(DEFAULT_LIMIT))
    limit = int(written) if written.isascii() and written.isdigit() and len(written) < 4 else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequestError(f"limit must be from 1 to {MAX_LIMIT}", param="limit")
    return PageRequest(request.query_params.get("after", ""), limit)


def json_response(fields: Any, status: int = 200) -> Response:
    """`fields` as JSON."""
    body = json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
    return Response(body, status, media_type="application/json")


async def with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream whose first piece was read before the answer began, to know that there is one."""
    yield first
    async for chunk in rest:
        yield chunk
