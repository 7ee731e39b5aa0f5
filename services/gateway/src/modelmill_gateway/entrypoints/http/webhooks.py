"""Webhooks: endpoints that are told of events."""

from collections.abc import Sequence

from modelmill.gateway.v1.gateway_events_pb2 import WebhookState
from modelmill_service_kit.errors import PreconditionError
from starlette.requests import Request

from modelmill_gateway.entrypoints.http.requests import caller_of, page
from modelmill_gateway.entrypoints.schemas.base import Deleted, Page
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.entrypoints.schemas.webhooks import (
    ChangedWebhookBody,
    RegisteredWebhook,
    RotatedWebhook,
    Webhook,
    WebhookBody,
    WebhookDelivery,
    WebhookTest,
)
from modelmill_gateway.webhooks.change_webhook import Webhooks


class WebhookRoutes:
    """/v1/webhooks."""

    def __init__(self, webhooks: Webhooks | None) -> None:
        self._opened = webhooks

    @property
    def _webhooks(self) -> Webhooks:
        if self._opened is None:
            raise PreconditionError(
                "webhooks are not configured here: the operator must set GATEWAY_WEBHOOK_KEY"
            )
        return self._opened

    async def register_webhook(self, request: Request) -> RegisteredWebhook:
        register = self._webhooks.manage.register
        body = await read_body(request, WebhookBody)
        state, secret = await register(body.url, _once(body.events), caller_of(request))
        return RegisteredWebhook.of(state, secret=secret)

    async def list_webhooks(self, request: Request) -> Page[Webhook]:
        mine = self._webhooks.book.list(caller_of(request).tenant)
        return page(request, mine, Webhook.of, lambda state: state.webhook_id)

    async def get_webhook(self, request: Request) -> Webhook:
        return Webhook.of(self._endpoint(request))

    async def change_webhook(self, request: Request) -> Webhook:
        change = self._webhooks.manage.change
        body = await read_body(request, ChangedWebhookBody)
        state = await change(
            request.path_params["webhook_id"],
            caller_of(request),
            url=body.url,
            event_types=_once(body.events) if body.events is not None else None,
            enabled=body.enabled,
        )
        return Webhook.of(state)

    async def delete_webhook(self, request: Request) -> Deleted:
        webhook_id = request.path_params["webhook_id"]
        await self._webhooks.manage.delete(webhook_id, caller_of(request))
        return Deleted(id=webhook_id, object="webhook")

    async def rotate_webhook(self, request: Request) -> RotatedWebhook:
        webhook_id = request.path_params["webhook_id"]
        state, secret = await self._webhooks.manage.rotate(webhook_id, caller_of(request))
        return RotatedWebhook.of(state, secret=secret)

    async def test_webhook(self, request: Request) -> WebhookTest:
        return WebhookTest(delivery_id=await self._webhooks.tell.test(self._endpoint(request)))

    async def list_webhook_deliveries(self, request: Request) -> Page[WebhookDelivery]:
        attempts = self._webhooks.attempts.list(self._endpoint(request).webhook_id)
        shown = [WebhookDelivery.of_attempt(each) for each in attempts]
        return page(request, shown, lambda attempt: attempt, lambda attempt: attempt.id)

    def _endpoint(self, request: Request) -> WebhookState:
        """The endpoint that the path names."""
        tenant, webhook_id = caller_of(request).tenant, request.path_params["webhook_id"]
        return self._webhooks.book.get(tenant, webhook_id)


def _once(events: Sequence[str]) -> list[str]:
    """Each event once, in the order in which they were named."""
    return list(dict.fromkeys(events))
