"""What several handlers read from a request, and how they respond."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response
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
    key = request.headers.get("idempotency-key", "")
    if len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise BadRequestError(
            f"Idempotency-Key must be at most {MAX_KEY_CHARS} printable characters",
            param="idempotency-key",
        )
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
