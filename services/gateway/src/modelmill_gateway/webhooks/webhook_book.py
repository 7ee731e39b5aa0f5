"""The endpoints that are told of events, and what came of the attempts to reach them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from modelmill.gateway.v1.gateway_events_pb2 import WebhookAttempt, WebhookState
from modelmill_bus.bus import Bus, StaleWriteError
from modelmill_bus.keyed_store import KeyedStore, RecentLog
from modelmill_bus.subjects import webhook_attempt

from modelmill_gateway.domain.webhooks import DELIVERED, Event


class WebhookBook(KeyedStore[WebhookState]):
    """Read model of `webhook.state.*`."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(
            bus, "webhook.state", key="webhook_id", noun="webhook", listed_at="/v1/webhooks"
        )

    def told_of(self, event: Event) -> Sequence[WebhookState]:
        """Endpoints that asked for such events before this one happened."""
        return [
            each
            for each in self._records.values()
            if each.tenant == event.tenant
            and each.enabled
            and event.type in each.event_types
            and event.sequence > each.told_after.get(event.stream, 0)
        ]


KEPT = 100
"""Attempts of one endpoint; the stream keeps as many, for four days."""


class WebhookLog(RecentLog[WebhookAttempt]):
    """Read model of `webhook.attempt.*`."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, "webhook.attempt", kept=KEPT)

    def failing_since(self, endpoint: WebhookState) -> datetime | None:
        """Since when all attempts failed, as far as is known here; None if the last one worked."""
        attempts = self._logs.get(endpoint.webhook_id)
        return _failing_since(attempts[-1].body, endpoint) if attempts else None

    def works(self, webhook_id: str) -> bool:
        """Whether the last attempt that is known here succeeded."""
        attempts = self._logs.get(webhook_id)
        return attempts is not None and attempts[-1].body.outcome == DELIVERED

    async def record(self, attempt: WebhookAttempt, endpoint: WebhookState) -> None:
        """Write down what came of an attempt; a failed one gets the time since when all failed.

        Raises:
            UnavailableError: the bus is away.
        """
        subject = webhook_attempt(attempt.webhook_id)
        while True:
            before = await self._bus.last(subject, WebhookAttempt)
            if attempt.outcome != DELIVERED:
                since = _failing_since(before.body, endpoint) if before else None
                attempt.failing_since.FromDatetime(since or attempt.at.ToDatetime(UTC))
            try:
                sequence = before.sequence if before else 0
                await self._bus.publish(subject, attempt, expect_last=sequence)
            except StaleWriteError:
                continue
            return


def _failing_since(attempt: WebhookAttempt, endpoint: WebhookState) -> datetime | None:
    if not attempt.HasField("failing_since"):
        return None
    enabled: datetime = endpoint.enabled_at.ToDatetime(UTC)
    if attempt.at.ToDatetime(UTC) < enabled:
        return None  # enabled after it: what failed before is forgiven
    return max(attempt.failing_since.ToDatetime(UTC), enabled)
