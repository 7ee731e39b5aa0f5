"""How the asynchronous half waits."""

import asyncio


async def sleep(seconds: float) -> None:
    """Let others work meanwhile."""
    await asyncio.sleep(seconds)
