"""Cancelling a task at whichever of its awaits, for what it must not leave behind."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def cancelled_after(turns: int, work: Coroutine[Any, Any, T]) -> T | None:
    """Cancel it after so many turns of the event loop; its result if it had ended by then."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return None
