"""Short retry for lookups in eventually consistent read models."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from modelmill_service_kit.errors import NotFoundError

REPLICATION_SECONDS = 0.5
"""Longest replication delay of an announcement of another service."""
POLL_SECONDS = 0.05

Found = TypeVar("Found")


async def retry_until_known(get: Callable[[], Found]) -> Found:
    """Call `get` until it finds something, for at most REPLICATION_SECONDS.

    Raises:
        NotFoundError: It is still unknown after that.
    """
    clock = asyncio.get_running_loop().time
    give_up = clock() + REPLICATION_SECONDS
    while True:
        try:
            return get()
        except NotFoundError:
            if clock() >= give_up:
                raise
        await asyncio.sleep(POLL_SECONDS)
