"""The broker and its streams as they are now, without changing anything."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelmill_service_kit.bus_access import BusTls, Credential
from modelmill_service_kit.errors import UnavailableError
from nats.errors import Error as NatsError

from modelmill_bus.link import REQUEST_SECONDS, Link, open_looking
from modelmill_bus.permissions import identities, streams_of
from modelmill_bus.stream_schemas import said_schema
from modelmill_bus.subjects import STREAMS

LOOK_SECONDS = 8.0
"""How long all of it may take."""
STREAM_NOT_FOUND = 10059
"""The broker's code for it."""


@dataclass(frozen=True)
class InspectedStream:
    """A stream as the broker has it."""

    is_in_memory: bool
    drops_oldest: bool
    """When it is full, rather than refuse the newest."""
    subjects: frozenset[str]
    used_bytes: int
    limit_bytes: int
    """0 for a stream without a limit."""
    schema: str
    """What it says of its schema."""


@dataclass(frozen=True)
class BrokerState:
    """A broker that answers."""

    version: str
    max_payload_bytes: int
    ahead_seconds: float
    """By how much its clock is ahead of the asker's."""
    streams: Mapping[str, InspectedStream | None]
    """Those that the asker may see; None for one that is missing."""


async def inspect_broker(
    url: str,
    credential: Credential,
    *,
    name: str,
    tls: BusTls | None = None,
    clock: Callable[[], float] = time.time,
) -> BrokerState:
    """Ask a broker about itself and its streams.

    Raises:
        UnavailableError: it does not let us in, or does not answer in time.
        PreconditionError: a file of the credential or of TLS cannot be used.
    """
    try:
        async with (
            asyncio.timeout(LOOK_SECONDS),
            open_looking(url, credential, name=name, tls=tls) as link,
        ):
            return await state_of(link, name, clock)
    except (TimeoutError, NatsError) as error:
        raise UnavailableError(f"the message broker at {url} does not answer") from error


async def state_of(link: Link, name: str, clock: Callable[[], float]) -> BrokerState:
    """What the broker at the other end says of itself and of the streams that `name` may see.

    Raises:
        nats.errors.Error: it does not let us, or does not answer.
        UnavailableError: it refuses in words of its own.
    """
    seen = streams_of(name) if name in identities() else tuple(it.name for it in STREAMS)
    streams: dict[str, InspectedStream | None] = {}
    ahead = 0.0
    for stream in seen:
        asked = clock()
        answer = await link.client.request(f"$JS.API.STREAM.INFO.{stream}", timeout=REQUEST_SECONDS)
        document = json.loads(answer.data)
        streams[stream] = _stream_state(document)
        if said := document.get("ts"):
            ahead = _ahead(said, asked, clock())
    version, payload = link.client.connected_server_version, link.client.max_payload
    return BrokerState(str(version), int(payload), ahead, streams)


def _stream_state(document: Mapping[str, Any]) -> InspectedStream | None:
    if error := document.get("error"):
        if error.get("err_code") == STREAM_NOT_FOUND:
            return None
        raise UnavailableError(f"the message broker says: {error.get('description')}")
    config = document["config"]
    return InspectedStream(
        is_in_memory=config["storage"] == "memory",
        drops_oldest=config["discard"] == "old",
        subjects=frozenset(config["subjects"]),
        used_bytes=document["state"]["bytes"],
        limit_bytes=max(0, config["max_bytes"]),
        schema=said_schema(config.get("metadata")),
    )


def _ahead(said: str, asked: float, answered: float) -> float:
    """How far its time is outside of what the asker's clock said before and after."""
    # Nanoseconds are more than `fromisoformat` of every Python takes.
    there = datetime.fromisoformat(said.rstrip("Z")[:26]).replace(tzinfo=UTC).timestamp()
    return there - answered if there > answered else min(0.0, there - asked)
