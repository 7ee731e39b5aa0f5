"""Read models: what a stream says now, in memory, rebuilt from its start at every start.

Messages that a read model hands out are its own: read them, do not change them.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

from google.protobuf.message import Message
from modelmill_bus.envelope import Stored
from modelmill_service_kit.errors import DeadlineError

SHARED_TENANT = "shared"
"""Owner of what every tenant may see and none may change."""


class Follows(Protocol):
    """The part of the bus that a read model needs."""

    def follow(
        self,
        subjects: Sequence[str],
        kinds: Mapping[str, type[Message]] | None = None,
        *,
        after: int = 0,
        on_current: Callable[[], None] | None = None,
    ) -> AsyncIterator[Stored[Any]]: ...


class ReadModel(ABC):
    """Follows subjects of one stream; subclasses say what a message changes.

    Args:
        bus: Where the messages come from.
        subjects: Filters of one stream.
    """

    def __init__(self, bus: Follows, subjects: Sequence[str]) -> None:
        self._bus = bus
        self._subjects = tuple(subjects)
        self._applied = 0
        self._moved = asyncio.Condition()
        self.ready = asyncio.Event()
        """Set once everything that was stored at the start has been applied."""

    async def run(self) -> None:
        """Follow for ever; run it as a task of its own and end it by cancelling."""
        async for stored in self._bus.follow(self._subjects, on_current=self.ready.set):
            self._apply(stored)
            self._applied = stored.sequence
            async with self._moved:
                self._moved.notify_all()

    async def wait_for(self, sequence: int, timeout: float) -> None:
        """Return once the message with this sequence is applied, so that a writer reads its write.

        Args:
            sequence: As `publish` returned it, of a subject that is followed here.
            timeout: Seconds.

        Raises:
            DeadlineError: It did not come in time.
        """
        try:
            async with asyncio.timeout(timeout):
                await self.until(lambda: self._applied >= sequence)
        except TimeoutError:
            raise DeadlineError(
                f"not up to date within {timeout:g} s: at {self._applied}, {sequence} is asked for"
            ) from None

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once something holds of what was applied."""
        async with self._moved:
            await self._moved.wait_for(holds)

    @abstractmethod
    def _apply(self, stored: Stored[Any]) -> None:
        """Take in one message; applying it twice changes nothing."""


def visible_to(tenant: str, owner: str) -> bool:
    """Whether `tenant` may see what `owner` owns."""
    return owner in (tenant, SHARED_TENANT)
