"""The endpoints that are told of events: followed from CONFIG, written by compare-and-set."""

from collections.abc import Sequence
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import WebhookState
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import webhook_state
from modelmill_registry.read_model import ReadModel
from modelmill_service_kit.errors import NotFoundError
from modelmill_service_kit.nearest import no_such

from modelmill_gateway.domain.webhooks import Event

FILTER = "webhook.state.*"
CATCH_UP_SECONDS = 5.0


class WebhookBook(ReadModel):
    """Read model of `webhook.state.*`."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, (FILTER,))
        self._store = bus
        self._endpoints: dict[str, WebhookState] = {}

    def get(self, tenant: str, webhook_id: str) -> WebhookState:
        """One endpoint.

        Raises:
            NotFoundError: no such endpoint, or another tenant's.
        """
        found = self._endpoints.get(webhook_id)
        if found is None or found.tenant != tenant:
            raise self._missing(tenant, webhook_id)
        return found

    def _missing(self, tenant: str, webhook_id: str) -> NotFoundError:
        known = (each.webhook_id for each in self.list(tenant))
        return no_such("webhook", webhook_id, "/v1/webhooks", known)

    def find(self, webhook_id: str) -> WebhookState | None:
        """The endpoint of that id, whoever owns it."""
        return self._endpoints.get(webhook_id)

    def list(self, tenant: str) -> list[WebhookState]:
        """The tenant's endpoints, newest first."""
        mine = [each for each in self._endpoints.values() if each.tenant == tenant]
        return sorted(mine, key=lambda each: each.created_at.ToNanoseconds(), reverse=True)

    def told_of(self, event: Event) -> Sequence[WebhookState]:
        """Endpoints that asked for such events before this one happened."""
        return [
            each
            for each in self._endpoints.values()
            if each.tenant == event.tenant
            and each.enabled
            and event.type in each.event_types
            and event.sequence > each.told_after.get(event.stream, 0)
        ]

    async def catch_up(self) -> None:
        """Return once everything that any replica has written by now is known here.

        Raises:
            UnavailableError: the bus is away.
            DeadlineError: it took longer than five seconds.
        """
        await self.wait_for(await self._store.newest_sequence(FILTER), CATCH_UP_SECONDS)

    async def newest(self, tenant: str, webhook_id: str) -> Stored[WebhookState]:
        """The endpoint's record as the bus has it, to be changed and given to `write`.

        Raises:
            NotFoundError: no such endpoint, or another tenant's.
            UnavailableError: the bus is away.
        """
        self.get(tenant, webhook_id)
        stored = await self._store.last(webhook_state(webhook_id), WebhookState)
        if stored is None or stored.body.deleted:
            raise self._missing(tenant, webhook_id)
        return stored

    async def write(self, state: WebhookState, *, expected: int) -> int:
        """Store the record if the last one has this sequence, 0 for none yet; its own sequence.

        Raises:
            StaleWriteError: somebody else wrote first.
            UnavailableError: the bus is away; it may have been written.
        """
        return await self._store.publish(
            webhook_state(state.webhook_id), state, expect_last=expected
        )

    def _apply(self, stored: Stored[Any]) -> None:
        state: WebhookState = stored.body
        if state.deleted:
            self._endpoints.pop(state.webhook_id, None)
        else:
            self._endpoints[state.webhook_id] = state
