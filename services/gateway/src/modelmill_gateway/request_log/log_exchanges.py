"""Log exchanges: behind the answers, never in front of them."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modelmill.gateway.v1.gateway_events_pb2 import LogSegment
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import log_segment
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import DomainError

from modelmill_gateway.domain.exchanges import Exchange, user_digest
from modelmill_gateway.metrics import LOG_DROPPED
from modelmill_gateway.request_log.log_keys import LogKeys, UserKey
from modelmill_gateway.request_log.segments import SealedExchange, write_segment

log = logging.getLogger(__name__)

MOST_AT_ONCE = 1000
"""Requests of a segment: some hundred bytes each in its message."""


@dataclass(frozen=True)
class LogTerms:
    """How much may wait, and for how long."""

    seconds: float
    most_bytes: int


class LogExchanges:
    """A bounded queue in front of artifacts and `log.segment.<tenant>`.

    While the bus or the store is away exchanges wait, in memory: a text is on no disk before it is
    sealed. What there is no room for is dropped and counted. Whoever is killed loses what waits.

    Args:
        secret: What digests of users are made with.
        work: Folder for segments that are being written.
    """

    def __init__(
        self,
        bus: Bus,
        store: ArtifactStore,
        keys: LogKeys,
        secret: bytes,
        work: Path,
        terms: LogTerms,
    ) -> None:
        self._bus = bus
        self._store = store
        self._keys = keys
        self._secret = secret
        self._work = work
        self._terms = terms
        self._waiting: dict[str, list[Exchange]] = {}
        """By tenant, in the order in which they came."""
        self._bytes = 0
        self._unsaid: LogSegment | None = None
        """Stored, and not on the bus yet."""

    def record(self, exchange: Exchange) -> None:
        """Take it; returns at once, whatever the bus does."""
        size = _size(exchange)
        if self._bytes + size > self._terms.most_bytes:
            LOG_DROPPED.inc()
            return
        self._bytes += size
        self._waiting.setdefault(exchange.tenant, []).append(exchange)

    async def run(self) -> None:
        """Store what waits, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._terms.seconds)
            await self._store_waiting()

    async def drain(self, timeout: float) -> None:
        """Store what waits, at most for `timeout` seconds; the rest is dropped."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._store_waiting(), timeout)
        lost = sum(map(len, self._waiting.values()))
        if lost:
            LOG_DROPPED.inc(lost)
            log.warning("%d requests were not logged by the end", lost)

    async def _store_waiting(self) -> None:
        try:
            await self._say()
            while self._waiting:
                tenant = next(iter(self._waiting))
                some = self._waiting[tenant][:MOST_AT_ONCE]
                self._unsaid = await self._stored(tenant, some)
                self._take_out(tenant, some)
                await self._say()
        except (DomainError, OSError) as error:
            log.warning("logged requests wait: %s", error)

    async def _stored(self, tenant: str, some: Sequence[Exchange]) -> LogSegment:
        users = {each.user: user_digest(self._secret, tenant, each.user) for each in some}
        keys: dict[str, UserKey] = {}
        for user, digest in users.items():
            keys[user] = await self._keys.find_or_make(tenant, digest)
        sealed = [SealedExchange(each, users[each.user], keys[each.user]) for each in some]
        return await asyncio.to_thread(write_segment, self._store, self._work, tenant, sealed)

    def _take_out(self, tenant: str, some: Sequence[Exchange]) -> None:
        self._bytes -= sum(map(_size, some))
        rest = self._waiting.pop(tenant)[len(some) :]
        if rest:
            self._waiting[tenant] = rest

    async def _say(self) -> None:
        """Tell the bus of the last segment; under its digest, so that it is told once."""
        if (segment := self._unsaid) is not None:
            await self._bus.publish(log_segment(segment.tenant), segment, msg_id=segment.digest)
            self._unsaid = None


def _size(exchange: Exchange) -> int:
    """Characters of its texts, roughly: a bound, not a bill."""
    spoken = (*exchange.texts.messages, *exchange.texts.answers)
    return 200 + sum(len(str(message["content"])) for message in spoken)
