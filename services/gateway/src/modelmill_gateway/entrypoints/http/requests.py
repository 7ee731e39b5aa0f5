"""What several handlers read from a request, and how they respond, downloads among it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Scope

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import Page as Items
from modelmill_gateway.domain.pages import T, page_of
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.domain.routes import ROUTES
from modelmill_gateway.entrypoints.schemas.base import Page, ResponseModel
from modelmill_gateway.entrypoints.schemas.queries import PageQuery

Handler = Callable[[Request], Awaitable[Response | ResponseModel]]
Handlers = dict[str, Handler]
Responder = Callable[[Request], Awaitable[Response]]

MAX_KEY_CHARS = 255


def handlers_of(*resources: object) -> Handlers:
    """The handlers of some resources: methods with the names of the route table."""
    names = [route.name for route in ROUTES]
    return {name: getattr(it, name) for it in resources for name in names if hasattr(it, name)}


def caller_of(request: Request) -> Caller:
    """The caller whom the middleware let in."""
    return context_of(request.scope).caller


def context_of(scope: Scope) -> RequestContext:
    """The context of a request that has a caller."""
    return cast(RequestContext, scope["state"]["context"])


def idempotency_key_of(request: Request) -> str:
    """The Idempotency-Key header, empty when there is none.

    Raises:
        BadRequestError: longer than 255 characters, or not printable.
    """
    return checked_key(request.headers.get("idempotency-key", ""), "idempotency-key")


def checked_key(key: str, field: str) -> str:
    """An idempotency key that stands in `field`; see `idempotency_key_of`."""
    if len(key) > MAX_KEY_CHARS or not key.isprintable():
        message = f"{field}: must be at most {MAX_KEY_CHARS} printable characters"
        raise BadRequestError(message, param=field)
    return key


def page(
    request: Request,
    items: Sequence[T],
    model: Callable[[T], ResponseModel],
    id_of: Callable[[T], str],
) -> Page[Any]:
    """The page that the request asks for.

    Args:
        model: what an item is shown as.
        id_of: the id which that has.

    Raises:
        BadRequestError: there is no such page.
    """
    wanted = PageQuery.of(request.query_params).page
    return shown_page(page_of(items, wanted, id_of), model)


def shown_page(some: Items[T], model: Callable[[T], Any]) -> Page[Any]:
    """Some items of a list as the page that has them."""
    data = [model(item) for item in some.items]
    return Page[Any](
        data=data,
        has_more=some.has_more,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def json_response(model: ResponseModel, status: int = 200) -> Response:
    """`model` as JSON."""
    return Response(model.json_bytes(), status, media_type="application/json")


async def with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream whose first piece was read before the answer began, to know that there is one."""
    yield first
    async for chunk in rest:
        yield chunk


MAX_NAME_CHARS = 200
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""A page has texts of a tenant's in it: whatever they say, nothing of it runs or calls out."""

MEDIA_TYPES = {
    "json": "application/json",
    "rows": "application/jsonl",
    "html": "text/html; charset=utf-8",
}
"""Of reports, by their format."""


async def download(
    chunks: AsyncIterator[bytes], name: str, media_type: str, **headers: str
) -> StreamingResponse:
    """An answer of `chunks` under the file name `name`.

    The first chunk is read before any header is sent: what is unknown is still a 404.
    """
    first = await anext(chunks, b"")
    disposition = {"content-disposition": attachment(name)}
    return StreamingResponse(
        with_first(first, chunks), media_type=media_type, headers=disposition | headers
    )


async def report(chunks: AsyncIterator[bytes], name: str, report_format: str) -> StreamingResponse:
    """A report under the name of what it is about."""
    kind = MEDIA_TYPES[report_format]
    policy = {"content-security-policy": PAGE_POLICY}
    return await download(chunks, f"{name}.{report_format}", kind, **policy)


def attachment(name: str) -> str:
    """A Content-Disposition as RFC 6266 writes it: plain ASCII, and the name itself in UTF-8."""
    name = name.encode(errors="replace").decode()[:MAX_NAME_CHARS]
    plain = "".join(
        char if char.isascii() and char.isprintable() and char not in '"\\%;/' else "_"
        for char in name
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
