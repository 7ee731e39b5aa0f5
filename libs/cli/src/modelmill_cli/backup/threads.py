"""Threads of a backup or restore, which have ended before a cancellation goes on."""

import asyncio
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from modelmill_registry.blobs import OnBytes

from modelmill_cli.interrupts import Interrupted

T = TypeVar("T")


async def in_thread(work: Callable[[OnBytes], T], on_bytes: OnBytes) -> T:
    """Run blocking work that tells of its bytes; a cancellation ends it at the next ones.

    The cancellation is raised once the thread has ended: what cleans up then is alone.
    """
    cancelled = Event()

    def told(count: int) -> None:
        if cancelled.is_set():
            raise Interrupted
        on_bytes(count)

    running = asyncio.ensure_future(asyncio.to_thread(work, told))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([running])
        running.exception()  # nobody else asks for it
        raise
