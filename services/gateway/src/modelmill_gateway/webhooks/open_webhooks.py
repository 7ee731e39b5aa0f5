"""Everything that is done with webhooks, made once: what callers ask for, and what runs beside."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from google.protobuf.message import Message
from modelmill_bus.bus import Bus
from modelmill_job_index.index import Announcements
from modelmill_service_kit.errors import UnavailableError

from modelmill_gateway.adapters.background import Background
from modelmill_gateway.adapters.secret_vault import SecretVault
from modelmill_gateway.adapters.webhook_book import WebhookBook
from modelmill_gateway.adapters.webhook_log import WebhookLog
from modelmill_gateway.adapters.webhook_sender import WebhookSender, threaded_lookups
from modelmill_gateway.domain.webhooks import Schedule
from modelmill_gateway.webhooks.attempt_delivery import AttemptDelivery
from modelmill_gateway.webhooks.change_webhook import ChangeWebhook
from modelmill_gateway.webhooks.deliver_webhooks import DeliverWebhooks
from modelmill_gateway.webhooks.register_webhook import RegisterWebhook
from modelmill_gateway.webhooks.tell_webhooks import Facts, TellWebhooks

REPLAY_SECONDS = 60.0


@dataclass(frozen=True)
class Webhooks:
    """What callers can do, and what there is to see."""

    register: RegisterWebhook
    change: ChangeWebhook
    tell: TellWebhooks
    book: WebhookBook
    attempts: WebhookLog


@asynccontextmanager
async def open_webhooks(
    bus: Bus,
    stopping: asyncio.Event,
    *,
    vault: SecretVault,
    schedule: Schedule,
    facts: Mapping[type[Message], Facts],
    announcements: Announcements,
    allow_private: bool,
) -> AsyncIterator[Webhooks]:
    """Tell and deliver in the background, once it is known which endpoints there are.

    Raises:
        UnavailableError: the endpoints could not be read within a minute.
    """
    async with AsyncExitStack() as stack:
        book, attempts = WebhookBook(bus), WebhookLog(bus)
        resolve = await stack.enter_async_context(threaded_lookups())
        sender = WebhookSender(resolve, allow_private=allow_private)
        stack.push_async_callback(sender.close)
        # Of our own, so that no attempt is in hand when the sender is closed.
        background = await stack.enter_async_context(Background(stopping))
        await _follow(background, book, attempts)
        tell = TellWebhooks(bus, book, facts, announcements)
        attempt = AttemptDelivery(bus, book, attempts, vault, sender, schedule)
        background.start(tell.run(stopping))
        background.start(DeliverWebhooks(bus, attempts, attempt).run(stopping))
        yield Webhooks(
            RegisterWebhook(bus, book, vault, sender),
            ChangeWebhook(book, vault, sender),
            tell,
            book,
            attempts,
        )


async def _follow(background: Background, book: WebhookBook, attempts: WebhookLog) -> None:
    """Returns once both know what the bus has stored."""
    background.start(book.run())
    background.start(attempts.run())
    try:
        async with asyncio.timeout(REPLAY_SECONDS):
            await book.ready.wait()
            await attempts.ready.wait()
    except TimeoutError as error:
        raise UnavailableError("the webhooks could not be read to their end") from error
