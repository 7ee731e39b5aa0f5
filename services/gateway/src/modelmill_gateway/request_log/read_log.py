"""Read the request log, delete a user's part of it, and let the old go."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelmill.gateway.v1.gateway_events_pb2 import LoggedRequest
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import log_segment
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import DomainError, NotFoundError

from modelmill_gateway.domain.exchanges import ExchangeTexts, user_digest
from modelmill_gateway.domain.pages import Page, PageRequest, page_of
from modelmill_gateway.request_log.log_keys import STREAM, LogKeys, UserKey
from modelmill_gateway.request_log.segments import CONTENT, read_texts

log = logging.getLogger(__name__)

EXPIRY_SECONDS = 600.0
"""Between two looks for what has been kept long enough."""


@dataclass(frozen=True)
class LoggedRequestFilter:
    """Which requests are meant; an empty field means all."""

    model: str = ""
    version_id: str = ""
    user: str = ""


@dataclass(frozen=True)
class Logged:
    """A logged request, and its texts unless they were deleted."""

    request: LoggedRequest
    texts: ExchangeTexts | None


@dataclass(frozen=True)
class _Found:
    request: LoggedRequest
    digest: str
    """Of the artifact that has its texts."""


class ReadLog:
    """The index is read from the bus for each question, as keys are: nothing of it stays in memory.

    All raise UnavailableError when the bus or the store is away.
    """

    def __init__(
        self, bus: Bus, store: Callable[[], ArtifactStore], keys: LogKeys, secret: bytes
    ) -> None:
        self._bus = bus
        self._store = store
        self._keys = keys
        self._secret = secret

    async def page(
        self, tenant: str, wanted: LoggedRequestFilter, page: PageRequest
    ) -> Page[Logged]:
        """Some of them with their texts, newest first.

        Raises:
            BadRequestError: There is no such page.
        """
        found = [each for each in await self._index(tenant) if self._is_meant(tenant, each, wanted)]
        some = page_of(found, page, lambda each: each.request.request_id)
        return Page(await self._read(tenant, some.items), some.has_more)

    async def get(self, tenant: str, request_id: str) -> Logged:
        """One of them. Raises NotFoundError."""
        found = [
            each for each in await self._index(tenant) if each.request.request_id == request_id
        ]
        if not found:
            raise NotFoundError(
                f"no logged request {request_id[:80]!r}. GET /v1/logs lists what there is; an alias"
                " logs with `store`"
            )
        [logged] = await self._read(tenant, found[:1])
        return logged

    async def delete_user(self, tenant: str, user: str) -> int:
        """Delete the texts of a user's requests; how many those are."""
        digest = user_digest(self._secret, tenant, user)
        count = sum(each.request.user_digest == digest for each in await self._index(tenant))
        return count if await self._keys.delete(tenant, digest) else 0

    async def _index(self, tenant: str) -> list[_Found]:
        found = []
        async for stored in self._bus.replay((log_segment(tenant),)):
            segment = stored.body
            found += [_Found(each, segment.digest) for each in segment.requests]
        return found[::-1]

    def _is_meant(self, tenant: str, found: _Found, wanted: LoggedRequestFilter) -> bool:
        request = found.request
        if wanted.user and request.user_digest != user_digest(self._secret, tenant, wanted.user):
            return False
        return (not wanted.model or request.model == wanted.model) and (
            not wanted.version_id or request.version_id == wanted.version_id
        )

    async def _read(self, tenant: str, some: Sequence[_Found]) -> list[Logged]:
        keys: dict[bytes, UserKey] = {}
        for user in {each.request.user_digest for each in some}:
            if (key := await self._keys.find(tenant, user)) is not None:
                keys[user] = key
        texts: dict[str, ExchangeTexts] = {}
        for digest in dict.fromkeys(each.digest for each in some):
            own = [each.request for each in some if each.digest == digest]
            if any(request.user_digest in keys for request in own):
                content = await asyncio.to_thread(self._store().content, digest, CONTENT)
                read = read_texts(content, tenant, own, keys)
                texts |= {request.request_id: said for request, said in read}
        return [Logged(each.request, texts.get(each.request.request_id)) for each in some]


class ExpireLog:
    """Erases segments that have been kept long enough: the artifact, then what names it.

    Args:
        seconds: How long they are kept.
        now: The time of day in seconds.
    """

    def __init__(
        self,
        bus: Bus,
        store: Callable[[], ArtifactStore],
        seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._bus = bus
        self._store = store
        self._seconds = seconds
        self._now = now

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.expire()
            except (DomainError, OSError) as error:
                log.warning("logged requests were not expired: %s", error)
            await asyncio.sleep(EXPIRY_SECONDS)

    async def expire(self) -> int:
        """Erase what is old enough; how many segments those were.

        Raises:
            UnavailableError: The bus or the store is away.
        """
        before, old = self._now() - self._seconds, []
        async for stored in self._bus.replay(("log.segment.*",)):
            if stored.body.at.seconds < before:
                old.append(stored)
        for stored in old:
            await asyncio.to_thread(self._store().erase, [stored.body.digest])
            await self._bus.erase(STREAM, stored.sequence)
        return len(old)
