"""Read models: in-memory state of a stream, rebuilt at every start.

Messages that a read model hands out are its own: read them, do not change them.
"""

import asyncio
import heapq
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import count
from typing import Any, Protocol, TypeVar

from modelmill_service_kit.errors import NotFoundError, UnavailableError

from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored

log = logging.getLogger(__name__)

SHARED_TENANT = "shared"
"""Owner of what every tenant may see and none may change."""
LOOK_SECONDS = 2.0
"""How long a caller waits for what it wrote, or for a second look."""
CATCH_UP_SECONDS = 5.0

Found = TypeVar("Found")


def visible_to(tenant: str, owner: str) -> bool:
    """Whether `tenant` may see what `owner` owns."""
    return owner in (tenant, SHARED_TENANT)


class Watermark:
    """How far a reader has got; moving it costs nothing while nobody waits."""

    def __init__(self) -> None:
        self.value = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def move(self, value: int) -> None:
        """Go up to `value` and wake whoever waits for no more than that."""
        self.value = max(self.value, value)
        while self._waiting and self._waiting[0][0] <= self.value:
            _, _, reached = heapq.heappop(self._waiting)
            if not reached.done():
                reached.set_result(None)

    async def reach(self, value: int, timeout: float | None) -> None:
        """Return once the mark is at `value`.

        Raises:
            UnavailableError: not within `timeout` seconds; None waits for ever.
        """
        if self.value >= value:
            return
        reached = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (value, next(self._order), reached))
        try:
            async with asyncio.timeout(timeout):
                await reached
        except TimeoutError:
            raise UnavailableError(
                f"the list is not current: it is at message {self.value} of {value}. Retry"
            ) from None


class CatchesUp(Protocol):
    """Whatever tells how far it has read."""

    async def wait_for(self, sequence: int, timeout: float) -> None: ...


async def until_seen(read_model: CatchesUp, sequence: int) -> None:
    """Wait until what was just written can be read here: callers read what they wrote.

    It is written either way: a list that lags is logged, and never turns a yes into a no.
    """
    try:
        await read_model.wait_for(sequence, LOOK_SECONDS)
    except UnavailableError as error:
        log.warning("what was written may not be listed yet: %s", error)


class ReadModel(ABC):
    """Follows subjects of one stream; subclasses say what a message changes.

    Args:
        bus: Where the messages come from.
        subjects: Filters of one stream.
        on_demand: Read only once somebody catches up: for what is long and seldom asked for.
        after: Sequence behind which it reads.
    """

    def __init__(
        self, bus: Bus, subjects: Sequence[str], *, on_demand: bool = False, after: int = 0
    ) -> None:
        self._bus = bus
        self._subjects = tuple(subjects)
        self._after = after
        self._read = Watermark()
        self._read.move(after)
        self._is_wanted = asyncio.Event()
        if not on_demand:
            self._is_wanted.set()
        self.ready = asyncio.Event()
        """Set once everything that was stored at the start has been applied."""

    async def run(self) -> None:
        """Follow for ever; run it as a task of its own and end it by cancelling."""
        await self._is_wanted.wait()
        follow = self._bus.follow
        async for stored in follow(self._subjects, after=self._after, on_current=self.ready.set):
            if (applied := self._apply(stored)) is not None:
                await applied
            self._read.move(stored.sequence)

    async def wait_for(self, sequence: int, timeout: float) -> None:
        """Return once the message with this sequence is applied, so that a writer reads its write.

        Args:
            sequence: As `publish` returned it, of a subject that is followed here.
            timeout: Seconds.

        Raises:
            UnavailableError: It did not come in time.
        """
        await self._read.reach(sequence, timeout)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once something holds of what was applied."""
        while not holds():
            await self._read.reach(self._read.value + 1, None)

    async def catch_up(self, *subjects: str, within: float = CATCH_UP_SECONDS) -> None:
        """Return once everything that anybody has written by now is known here.

        Args:
            subjects: Only what these filters let through; all that is followed by default.
            within: Seconds.

        Raises:
            UnavailableError: The bus is away, or there is more to read than that allows.
        """
        self._is_wanted.set()
        for each in subjects or self._subjects:
            await self.wait_for(await self._bus.newest_sequence(each), within)

    async def look(self, find: Callable[[], Found], *subjects: str) -> Found:
        """What `find` finds, at once or after catching up; see `FreshLook` for many who ask.

        Raises:
            NotFoundError: As `find`, also after catching up.
            UnavailableError: As `catch_up`.
        """
        try:
            return find()
        except NotFoundError:
            await self.catch_up(*subjects)
            return find()

    @abstractmethod
    def _apply(self, stored: Stored[Any]) -> Awaitable[None] | None:
        """Take in one message, or say what has to be waited for until it is taken in."""


async def caught_up(read_models: Iterable[ReadModel], stopping: asyncio.Event) -> bool:
    """Whether all of them have applied what was stored at the start, unless `stopping` is first.

    Before that, what there is would be answered "not found".
    """
    ready = asyncio.gather(*(each.ready.wait() for each in read_models))
    told = asyncio.create_task(stopping.wait())
    either: set[asyncio.Future[Any]] = {ready, told}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return not told.done()
    finally:
        ready.cancel()
        told.cancel()
        await asyncio.gather(ready, told, return_exceptions=True)


class FreshLook:
    """Look in read models, and after a miss once more when they have read all that is stored.

    An id may be known to somebody before it is known here: each process follows the streams at its
    own pace. However many miss at once, the broker is asked by one of them at a time.

    Args:
        read_models: What is looked in, each with the filter of the messages that add to it.
    """

    def __init__(self, bus: Bus, *read_models: tuple[ReadModel, str]) -> None:
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
            NotFoundError: As `find`, also after catching up.
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
                if not self._bus.connected:
                    raise UnavailableError("the message broker is not connected")
                for read_model, subjects in self._read_models:
                    await read_model.catch_up(subjects, within=LOOK_SECONDS)
                self._caught_up = True
            except UnavailableError as error:
                log.warning("a miss is answered by what is known here: %s", error)
                self._caught_up = False
            return self._caught_up
