"""Ends that are reached whether or not who waits for them is cancelled."""

import asyncio
import subprocess
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run what must not stay half done; who is cancelled meanwhile hears of it afterwards.

    For work that takes moments, or has a limit of its own: a caller's timeout does not end it.
    """
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def end_of(process: subprocess.Popen[bytes]) -> int:
    """Wait until it ends, and reap it; its exit status. Who is cancelled leaves it to a thread."""
    return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, process.wait))


async def kill(process: subprocess.Popen[bytes]) -> int:
    """End it at once, and reap it; its exit status. Nothing is left of it, also for who is
    cancelled."""
    process.kill()  # which minds that somebody else waits for it, too
    return await to_its_end(end_of(process))
