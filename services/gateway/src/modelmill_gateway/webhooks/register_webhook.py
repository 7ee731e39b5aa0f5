"""Register an endpoint that is told of events."""

import asyncio
import secrets
import uuid
from collections.abc import Sequence

from modelmill.gateway.v1.gateway_events_pb2 import WebhookState
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import until_seen
from modelmill_service_kit.errors import PreconditionError

from modelmill_gateway.adapters.secret_vault import SecretVault
from modelmill_gateway.adapters.webhook_book import WebhookBook
from modelmill_gateway.adapters.webhook_sender import WebhookSender
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.webhooks import SECRET_BYTES, written_secret

MOST_OF_A_TENANT = 20
TOLD_STREAMS = ("JOBS", "MODELS", "DATASETS")


class RegisterWebhook:
    """Makes the signing secret, too; it is shown once, and stored sealed."""

    def __init__(
        self, bus: Bus, book: WebhookBook, vault: SecretVault, sender: WebhookSender
    ) -> None:
        self._bus = bus
        self._book = book
        self._vault = vault
        self._sender = sender

    async def __call__(
        self, url: str, event_types: Sequence[str], caller: Caller
    ) -> tuple[WebhookState, str]:
        """The endpoint, which is told of all that happens from now on, and its secret.

        Raises:
            BadRequestError: events may not be sent to that URL.
            PreconditionError: the tenant has twenty endpoints.
            UnavailableError: the bus is away; an endpoint may be there, and nobody has its secret.
        """
        if len(self._book.list(caller.tenant)) >= MOST_OF_A_TENANT:
            raise PreconditionError(f"there are {MOST_OF_A_TENANT} webhooks. Delete one first")
        await self._sender.check(url)
        webhook_id, secret = f"wh-{uuid.uuid4().hex}", secrets.token_bytes(SECRET_BYTES)
        state = WebhookState(
            webhook_id=webhook_id,
            tenant=caller.tenant,
            url=url,
            event_types=event_types,
            enabled=True,
            sealed_secret=self._vault.seal(secret, webhook_id),
            changed_by=caller.subject,
        )
        state.created_at.GetCurrentTime()
        state.enabled_at.CopyFrom(state.created_at)
        # Sequences, not times: no clock of any machine decides whether an event came before.
        last = await asyncio.gather(*(self._bus.last_sequence(name) for name in TOLD_STREAMS))
        state.told_after.update(zip(TOLD_STREAMS, last, strict=True))
        await until_seen(self._book, await self._book.write(state, expected=0))
        return state, written_secret(secret)
