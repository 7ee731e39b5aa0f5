"""The newest message that passes a filter, in two ways.

None when there is none; UnavailableError when the broker is away or silent.
"""

import asyncio
from contextlib import aclosing
from typing import Any

from modelmill_service_kit.errors import UnavailableError
from nats.js.errors import NotFoundError

from modelmill_bus.following import Follower
from modelmill_bus.link import REQUEST_SECONDS, Link
from modelmill_bus.permissions import API

NO_SUCH_MESSAGE = 10037


async def last_of_leader(link: Link, stream: str, subjects: str, what: str) -> Any | None:
    """Read from the stream's leader, by those who may read the whole stream; raw."""
    try:
        async with link.request(what, f"{API}.STREAM.MSG.GET.{stream}"):
            return await link.js.get_last_msg(stream, subjects)
    except NotFoundError as error:
        if error.err_code == NO_SUCH_MESSAGE:
            return None
        raise


async def last_delivered(link: Link, stream: str, subjects: str, what: str) -> Any | None:
    """Read by a consumer; of a stream with replicas it may be the last but one. Raw."""
    follower = Follower(link, stream, [subjects], newest=True, ends=True)
    try:
        async with (
            asyncio.timeout(REQUEST_SECONDS),
            aclosing(follower.messages()) as messages,  # type: ignore[type-var]
        ):
            async for raw in messages:
                return raw
    except TimeoutError as error:
        raise UnavailableError(f"{what}: no answer from the broker") from error
    return None
