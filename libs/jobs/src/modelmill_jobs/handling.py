"""One delivery in hand: read, handled, kept meanwhile, and acknowledged or given back."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.message import Message

from modelmill_jobs.envelope import MalformedMessageError, Stored, decode
from modelmill_jobs.subjects import route
from modelmill_jobs.tracing import process_span

log = logging.getLogger(__name__)

CONSUME_ACK_WAIT_SECONDS = 30.0
CONSUME_RETRY_SECONDS = 1.0

Handle = Callable[[Stored[Any]], Awaitable[None]]


async def handle_one(message: Any, handle: Handle) -> None:
    """Hand a delivery to `handle` and acknowledge it; after a failure it comes a second later."""
    stored = decoded(message)
    if stored is None:
        await message.term()
        return
    try:
        async with kept(message, CONSUME_ACK_WAIT_SECONDS):
            with process_span(route(stored.subject).template, stored.trace):
                await handle(stored)
    except Exception:
        log.exception("handling %s failed; it comes again", stored.subject)
        await message.nak(delay=CONSUME_RETRY_SECONDS)
    else:
        await message.ack()


@asynccontextmanager
async def kept(message: Any, ack_wait_seconds: float) -> AsyncIterator[None]:
    """While the block runs, the broker is told that the message is still in hand."""

    async def keep() -> None:
        while True:
            await asyncio.sleep(ack_wait_seconds / 3)
            await message.in_progress()

    alive = asyncio.create_task(keep())
    try:
        yield
    finally:
        alive.cancel()


def decoded(
    message: Any, kinds: Mapping[str, type[Message]] | None = None
) -> Stored[Message] | None:
    """The message as its row of the table says, or None (logged) when it is not that."""
    where = route(message.subject)
    kind = (kinds or {}).get(where.template, where.body)
    sequence = message.metadata.sequence.stream
    try:
        return decode(sequence, message.subject, message.data, message.headers, kind)
    except MalformedMessageError:
        log.exception("a message of %s is left out", where.stream)
        return None
