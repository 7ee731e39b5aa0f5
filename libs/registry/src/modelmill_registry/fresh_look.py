"""Look in read models, and after a miss once more when they have read all that is stored.

An id may be known to somebody before it is known here: each process follows the streams at its own
pace. A miss is an answer only once everything that was stored when it was asked for has been read.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from modelmill_service_kit.errors import DeadlineError, NotFoundError, UnavailableError

from modelmill_registry.read_model import ReadModel

log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 2.0

Found = TypeVar("Found")


class TellsNewest(Protocol):
    """The part of the bus that this needs."""

    @property
    def connected(self) -> bool:
        """Whether the broker is there, as far as this side knows."""

    async def newest_sequence(self, subjects: str) -> int:
        """Of the newest message that passes a filter; 0 when none does."""


class FreshLook:
    """However many miss at once, the broker is asked by one of them at a time.

    Args:
        read_models: what is looked in, each with the filter of the messages that add to it.
    """

    def __init__(self, bus: TellsNewest, *read_models: tuple[ReadModel, str]) -> None:
        self._bus = bus
        self._read_models = read_models
        self._asking = asyncio.Lock()
        self._asked_at = 0.0
        self._caught_up = True
        """What came of asking then."""

    async def __call__(self, find: Callable[[], Found]) -> Found:
        """What `find` finds, at once or after catching up.

        A broker that is away leaves the miss as it is: what is known here is all there is to say.

        Raises:
            NotFoundError: as `find`, also after catching up.
        """
        try:
            return find()
        except NotFoundError:
            if not await self._catch_up():
                raise
        return find()

    async def _catch_up(self) -> bool:
        """Read all that is stored now; whether that was possible."""
        missed_at = time.monotonic()
        async with self._asking:
            if self._asked_at > missed_at:
                return self._caught_up  # asked by another, later than this one missed
            self._asked_at = time.monotonic()
            try:
                for read_model, subjects in self._read_models:
                    await self._read(read_model, subjects)
                self._caught_up = True
            except (UnavailableError, DeadlineError) as error:
                log.warning("a miss is answered by what is known here: %s", error)
                self._caught_up = False
            return self._caught_up

    async def _read(self, read_model: ReadModel, subjects: str) -> None:
        if not self._bus.connected:
            raise UnavailableError("the bus is away")
        newest = await self._bus.newest_sequence(subjects)
        await read_model.wait_for(newest, CATCH_UP_SECONDS)
