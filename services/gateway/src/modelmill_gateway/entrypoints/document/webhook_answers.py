"""Shapes of webhooks and of their deliveries, with an example of each."""

from typing import Any, Literal

from modelmill_gateway.domain.webhooks import EventType
from modelmill_gateway.entrypoints.document.examples import AT, DIGEST, TUNING, VERSION
from modelmill_gateway.entrypoints.document.shape import Answer, Page

WEBHOOK_ID = "wh-6f0d2a"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


class Webhook(Answer):
    """An endpoint. `disabled_reason` is set when the gateway has disabled it."""

    id: str
    object: Literal["webhook"]
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    created_at: int
    previous_secret_until: int | None


class WebhookPage(Page[Webhook]):
    """Endpoints, newest first."""


class RegisteredWebhook(Webhook):
    """New webhook endpoint and its secret, which is shown once."""

    secret: str


class RotatedWebhook(RegisteredWebhook):
    """Webhook endpoint with a new secret; the old one also signs until `previous_secret_until`."""


class WebhookTest(Answer):
    """Confirmation that a test event is sent, once; deliveries show the attempt."""

    object: Literal["webhook.test"]
    delivery_id: str


class WebhookDelivery(Answer):
    """Delivery attempt. `delivery_id` is its webhook-id header, the same at each attempt."""

    id: str
    object: Literal["webhook.delivery"]
    delivery_id: str
    event: str
    attempt: int
    at: int
    seconds: float
    outcome: Literal[
        "delivered", "refused", "gone", "unreachable", "timeout", "forbidden", "unsealable"
    ]
    status: int | None
    next_at: int | None


class WebhookDeliveryPage(Page[WebhookDelivery]):
    """Delivery attempts, newest first: the last hundred of four days; the broker may lose some."""


class WebhookEvent(Answer):
    """Webhook event. `data` is a job's state, or a model or dataset as `GET` shows it."""

    type: EventType | Literal["webhook.test"]
    timestamp: str
    data: dict[str, Any]


BODY = {"url": "https://example.com/hooks/modelmill", "events": ["job.succeeded", "job.failed"]}
WEBHOOK: dict[str, Any] = {
    "id": WEBHOOK_ID,
    "object": "webhook",
    **BODY,
    "enabled": True,
    "disabled_reason": None,
    "created_at": AT,
    "previous_secret_until": None,
}
REGISTERED = {**WEBHOOK, "secret": SECRET}
ROTATED = {**REGISTERED, "previous_secret_until": AT + 86400}
TEST = {"object": "webhook.test", "delivery_id": "msg_2b8c"}
DELIVERY = {
    "id": "attempt-5b0f6c1e",
    "object": "webhook.delivery",
    "delivery_id": "msg_2b8c",
    "event": "job.succeeded",
    "attempt": 1,
    "at": AT,
    "seconds": 0.412,
    "outcome": "refused",
    "status": 503,
    "next_at": AT + 5,
}
EVENT = {
    "type": "job.succeeded",
    "timestamp": "2026-11-25T12:00:00.000Z",
    "data": {
        "id": TUNING,
        "object": "job",
        "kind": "train",
        "status": "succeeded",
        "attempt": 1,
        "started_at": AT,
        "finished_at": AT + 95,
        "result": {"digest": DIGEST, "version_id": VERSION},
        "error": None,
    },
}
