"""API keys without a bus: the gateway's own book over records in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from modelmill_bus.envelope import Stored
from modelmill_bus.errors import StaleWriteError
from modelmill_gateway.domain.access import SCOPES, Caller
from modelmill_gateway.domain.ledger.budget import Limits
from modelmill_gateway.identity.key_book import KeyBook
from modelmill_gateway.identity.manage_keys import ManageKeys

TENANT = "acme"
OWNER = Caller(TENANT, "ada", frozenset(SCOPES))
NOW = 1_000.0


class _Records:
    """The last record of each subject, written by compare-and-set."""

    def __init__(self) -> None:
        self._last: dict[str, Stored[KeyState]] = {}
        self._written = 0
        self._told: asyncio.Queue[Stored[KeyState]] = asyncio.Queue()

    async def follow(
        self,
        subjects: Sequence[str],
        kinds: Mapping[str, Any] | None = None,
        *,
        after: int = 0,
        on_current: Callable[[], None] | None = None,
    ) -> AsyncIterator[Stored[Any]]:
        """All that is written, as it is."""
        if on_current is not None:
            on_current()
        while True:
            yield await self._told.get()

    async def last(self, subject: str, kind: type[KeyState]) -> Stored[KeyState] | None:
        """A copy, to be changed."""
        found = self._last.get(subject)
        return None if found is None else _copied(found)

    async def publish(
        self, subject: str, body: KeyState, *, expect_last: int, kept_seconds: float | None
    ) -> int:
        """Raises StaleWriteError."""
        found = self._last.get(subject)
        if expect_last != (found.sequence if found else 0):
            raise StaleWriteError(subject)
        self._written += 1
        stored = Stored(subject=subject, sequence=self._written, body=body, headers={})
        self._last[subject] = _copied(stored)
        self._told.put_nowait(_copied(stored))
        return self._written


class _Limits:
    """By the id of a key."""

    def __init__(self) -> None:
        self._limits: dict[str, Limits] = {}

    def limits(self, budget_id: str) -> Limits:
        """Empty when there are none."""
        return self._limits.get(budget_id, Limits())

    async def put(self, budget_id: str, tenant: str, limits: Limits) -> None:
        """From now on."""
        self._limits[budget_id] = limits


@asynccontextmanager
async def managed_keys() -> AsyncIterator[tuple[ManageKeys, KeyBook]]:
    """Keys that nobody has made yet; it is always `NOW`."""
    book = KeyBook(_Records(), clock=lambda: NOW)  # type: ignore[arg-type]
    following = asyncio.create_task(book.run())
    try:
        yield ManageKeys(book, _Limits(), lambda: NOW, can_log=True), book
    finally:
        following.cancel()


def _copied(stored: Stored[KeyState]) -> Stored[KeyState]:
    body = KeyState()
    body.CopyFrom(stored.body)
    return Stored(subject=stored.subject, sequence=stored.sequence, body=body, headers={})
