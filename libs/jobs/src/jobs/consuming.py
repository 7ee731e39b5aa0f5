"""What happens to one delivered message: read, handled, acknowledged or given back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from jobs.envelope import MalformedMessageError, Stored, decode
from jobs.subjects import route
from jobs.tracing import process_span

log = logging.getLogger(__name__)

CONSUME_ACK_WAIT_SECONDS = 30.0
CONSUME_RETRY_SECONDS = 1.0

Handle = Callable[[Stored[Any]], Awaitable[None]]


async def handle_one(message: Any, handle: Handle) -> None:
    """Hand it to `handle`; acknowledge it, or let it come again when that raises."""
    stored = decoded(message)
    if stored is None:
        await message.term()
        return
    alive = asyncio.create_task(_keep(message))
    try:
        with process_span(route(stored.subject).template, stored.trace):
            await handle(stored)
    except Exception:
        log.exception("handling %s failed; it comes again", stored.subject)
        await message.nak(delay=CONSUME_RETRY_SECONDS)
    else:
        await message.ack()
    finally:
        alive.cancel()


async def _keep(message: Any) -> None:
    """Tell the broker that the message is still in hand."""
    while True:
        await asyncio.sleep(CONSUME_ACK_WAIT_SECONDS / 3)
        await message.in_progress()


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
