"""Why a broker that is there did not store a message: nats-server says nothing of a full disk."""

import asyncio

from modelmill_service_kit.errors import UnavailableError
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from modelmill_jobs.errors import BrokerDiskFullError
from modelmill_jobs.link import Link
from modelmill_jobs.permissions import API

LOOK_SECONDS = 0.5


async def why_unstored(
    link: Link, stream: str, what: str, error: UnavailableError, *, epoch: int
) -> UnavailableError:
    """The error of a publish, or what is behind it.

    Expected: a store that cannot write refuses the message. Actual (nats-server 2.15): it logs the
    failed write and answers nothing, while it goes on to answer questions about the stream.

    Args:
        epoch: of the connection before the publish: one that broke off explains the silence.
    """
    if not isinstance(error.__cause__, TimeoutError) or link.epoch != epoch or not link.connected:
        return error
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            async with link.request(f"read {stream}", f"{API}.STREAM.INFO.{stream}"):
                await link.js.stream_info(stream)
    except (UnavailableError, APIError, NatsError, TimeoutError):
        return error
    return BrokerDiskFullError(what) if link.epoch == epoch else error
