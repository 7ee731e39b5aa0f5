"""Endpoints that are told of events: registered, changed, deleted; and their sealed secrets."""

import asyncio
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from modelmill.gateway.v1.gateway_events_pb2 import WebhookState
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import until_seen
from modelmill_service_kit.errors import PreconditionError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.secret_vault import SecretVault
from modelmill_gateway.domain.webhooks import OVERLAP, SECRET_BYTES, written_secret
from modelmill_gateway.ports import WebhookSending
from modelmill_gateway.webhooks.tell_webhooks import TellWebhooks
from modelmill_gateway.webhooks.webhook_book import WebhookBook, WebhookLog

MOST_OF_A_TENANT = 20
TOLD_STREAMS = ("JOBS", "MODELS", "DATASETS")


class ManageWebhooks:
    """Each change is one compare-and-set of the endpoint's record.

    All but `register` raise NotFoundError when the tenant has no such endpoint, StaleWriteError
    when somebody else changes it at the same time, and UnavailableError when the bus is away.
    """

    def __init__(
        self, bus: Bus, book: WebhookBook, vault: SecretVault, sender: WebhookSending
    ) -> None:
        self._bus = bus
        self._book = book
        self._vault = vault
        self._sender = sender

    async def register(
        self, url: str, event_types: Sequence[str], caller: Caller
    ) -> tuple[WebhookState, str]:
        """The endpoint, which is told of all that happens from now on, and its secret.

        The secret is shown once, and stored sealed.

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

    async def change(
        self,
        webhook_id: str,
        caller: Caller,
        *,
        url: str | None = None,
        event_types: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> WebhookState:
        """The endpoint with what is given changed; None leaves a thing as it is.

        Raises:
            BadRequestError: events may not be sent to that URL.
        """
        stored = await self._book.newest(caller.tenant, webhook_id)
        state = stored.body
        if url is not None:
            await self._sender.check(url)
            state.url = url
        if event_types is not None:
            state.event_types[:] = event_types
        if enabled is not None:
            state.enabled = enabled
            state.disabled_reason = ""
        if url is not None or enabled:
            state.enabled_at.GetCurrentTime()
        await self._write(state, stored.sequence, caller)
        return state

    async def rotate(self, webhook_id: str, caller: Caller) -> tuple[WebhookState, str]:
        """The endpoint and its new secret; the old one signs, too, for another day."""
        stored = await self._book.newest(caller.tenant, webhook_id)
        state, secret = stored.body, secrets.token_bytes(SECRET_BYTES)
        state.ClearField("previous_sealed_secret")
        state.ClearField("previous_until")
        if self._opens(state):
            state.previous_sealed_secret = state.sealed_secret
            state.previous_until.FromDatetime(datetime.now(UTC) + OVERLAP)
        state.sealed_secret = self._vault.seal(secret, webhook_id)
        await self._write(state, stored.sequence, caller)
        return state, written_secret(secret)

    async def delete(self, webhook_id: str, caller: Caller) -> None:
        """Forget the endpoint; nothing is sent to it any more, also nothing that waits."""
        stored = await self._book.newest(caller.tenant, webhook_id)
        gone = WebhookState(webhook_id=webhook_id, tenant=caller.tenant, deleted=True)
        gone.created_at.CopyFrom(stored.body.created_at)
        await self._write(gone, stored.sequence, caller)

    def _opens(self, state: WebhookState) -> bool:
        """Whether the secret can sign; one that was sealed with a lost key cannot."""
        try:
            self._vault.open(state.sealed_secret, state.webhook_id)
        except PreconditionError:
            return False
        return True

    async def _write(self, state: WebhookState, sequence: int, caller: Caller) -> None:
        state.changed_by = caller.subject
        await until_seen(self._book, await self._book.write(state, expected=sequence))


@dataclass(frozen=True)
class Webhooks:
    """Webhooks as callers manage and read them."""

    manage: ManageWebhooks
    tell: TellWebhooks
    book: WebhookBook
    attempts: WebhookLog
