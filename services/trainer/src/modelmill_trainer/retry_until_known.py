"""What another service announced a moment ago may not be known here yet."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from modelmill_service_kit.errors import NotFoundError

ON_ITS_WAY_SECONDS = 0.5
"""How long an id may take to get here that another service announced a moment ago."""
LOOK_SECONDS = 0.05

Found = TypeVar("Found")


async def soon(get: Callable[[], Found]) -> Found:
    """What `get` finds; asks again for a moment, as read models follow the streams with a delay.

    Raises:
        NotFoundError: It is not there after that either.
    """
    clock = asyncio.get_running_loop().time
    give_up = clock() + ON_ITS_WAY_SECONDS
    while True:
        try:
            return get()
        except NotFoundError:
            if clock() >= give_up:
                raise
        await asyncio.sleep(LOOK_SECONDS)
