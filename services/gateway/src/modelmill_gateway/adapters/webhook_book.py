"""The endpoints that are told of events: followed from CONFIG, written by compare-and-set."""

from collections.abc import Sequence

from modelmill.gateway.v1.gateway_events_pb2 import WebhookState
from modelmill_bus.bus import Bus
from modelmill_bus.keyed_store import KeyedStore

from modelmill_gateway.domain.webhooks import Event


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
