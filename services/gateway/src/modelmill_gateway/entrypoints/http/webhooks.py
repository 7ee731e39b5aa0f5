"""Webhooks: endpoints that are told of events."""

from collections.abc import Sequence

from modelmill_service_kit.errors import PreconditionError
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.public_addresses import MAX_URL_CHARS
from modelmill_gateway.domain.webhooks import EVENT_TYPES, EventType
from modelmill_gateway.entrypoints.bodies.parsing import StrictBody, read_body
from modelmill_gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.views.pages import deleted_view, page_view
from modelmill_gateway.entrypoints.views.webhook_views import delivery_view, webhook_view
from modelmill_gateway.webhooks.open_webhooks import Webhooks

URL = "URL of the endpoint: https, at a public address, without user name or fragment."


class WebhookBody(StrictBody):
    """Request body of POST /v1/webhooks."""

    url: str = Field(min_length=1, max_length=MAX_URL_CHARS, description=URL)
    events: list[EventType] = Field(
        list(EVENT_TYPES), min_length=1, max_length=20, description="Event types; all if absent."
    )


class ChangedWebhookBody(StrictBody):
    """Request body of PATCH /v1/webhooks/{webhook_id}: what is absent stays."""

    url: str | None = Field(None, min_length=1, max_length=MAX_URL_CHARS, description=URL)
    events: list[EventType] | None = Field(None, min_length=1, max_length=20)
    enabled: bool | None = Field(
        None, description="Whether events are delivered; true also resets earlier failures."
    )


class WebhookRoutes:
    """/v1/webhooks."""

    def __init__(self, webhooks: Webhooks | None) -> None:
        self._opened = webhooks

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "register_webhook": self._post,
            "list_webhooks": self._list,
            "get_webhook": self._get,
            "change_webhook": self._patch,
            "delete_webhook": self._delete,
            "rotate_webhook": self._rotate,
            "test_webhook": self._test,
            "list_webhook_deliveries": self._deliveries,
        }

    @property
    def _webhooks(self) -> Webhooks:
        if self._opened is None:
            raise PreconditionError(
                "webhooks are not configured here: the operator must set GATEWAY_WEBHOOK_KEY"
            )
        return self._opened

    async def _post(self, request: Request) -> Response:
        register = self._webhooks.register
        body = await read_body(request, WebhookBody)
        state, secret = await register(body.url, _once(body.events), caller_of(request))
        return json_response({**webhook_view(state), "secret": secret})

    async def _list(self, request: Request) -> Response:
        mine = self._webhooks.book.list(caller_of(request).tenant)
        page = page_of(mine, page_request_of(request), lambda state: state.webhook_id)
        return json_response(page_view(page, webhook_view))

    async def _get(self, request: Request) -> Response:
        tenant, webhook_id = caller_of(request).tenant, request.path_params["webhook_id"]
        return json_response(webhook_view(self._webhooks.book.get(tenant, webhook_id)))

    async def _patch(self, request: Request) -> Response:
        change = self._webhooks.change.change
        body = await read_body(request, ChangedWebhookBody)
        state = await change(
            request.path_params["webhook_id"],
            caller_of(request),
            url=body.url,
            event_types=_once(body.events) if body.events is not None else None,
            enabled=body.enabled,
        )
        return json_response(webhook_view(state))

    async def _delete(self, request: Request) -> Response:
        webhook_id = request.path_params["webhook_id"]
        await self._webhooks.change.delete(webhook_id, caller_of(request))
        return json_response(deleted_view("webhook", webhook_id))

    async def _rotate(self, request: Request) -> Response:
        webhook_id = request.path_params["webhook_id"]
        state, secret = await self._webhooks.change.rotate(webhook_id, caller_of(request))
        return json_response({**webhook_view(state), "secret": secret})

    async def _test(self, request: Request) -> Response:
        tenant, webhook_id = caller_of(request).tenant, request.path_params["webhook_id"]
        endpoint = self._webhooks.book.get(tenant, webhook_id)
        delivery = await self._webhooks.tell.test(endpoint)
        return json_response({"object": "webhook.test", "delivery_id": delivery}, 202)

    async def _deliveries(self, request: Request) -> Response:
        tenant, webhook_id = caller_of(request).tenant, request.path_params["webhook_id"]
        endpoint = self._webhooks.book.get(tenant, webhook_id)
        shown = [delivery_view(each) for each in self._webhooks.attempts.list(endpoint.webhook_id)]
        page = page_of(shown, page_request_of(request), lambda view: str(view["id"]))
        return json_response(page_view(page, lambda view: view))


def _once(events: Sequence[str]) -> list[str]:
    """Each event once, in the order in which they were named."""
    return list(dict.fromkeys(events))
