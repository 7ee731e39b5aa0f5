"""A place in the queue of this process, waited for: what all that asks inference or judges does."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from modelmill_gateway.domain.admission import Admission, QueueTicket
from modelmill_gateway.domain.errors import FullError
from modelmill_gateway.domain.request_context import Deadline
from modelmill_gateway.metrics import ADMISSION_REFUSED, ADMISSION_WAIT_SECONDS, ADMISSION_WAITING

CHARS_A_TOKEN = 4
"""Of a prompt, roughly: what is held here is memory and time, not a bill."""


def tokens_in(texts: Iterable[str]) -> int:
    """What texts may come to, each at least a token."""
    return sum([1 + len(text) // CHARS_A_TOKEN for text in texts])


class AdmissionQueue:
    """Admission queue of this process: requests wait here for capacity."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def place(self, kind: str, tenant: str, tokens: int, deadline: Deadline) -> QueueTicket:
        """A place whose turn has come; give it back by `leave`.

        Args:
            kind: of request; those of one kind last alike.

        Raises:
            FullError: it would not begin, or not end, in time; nothing was begun.
        """
        try:
            # An answer must be whole when the next hop gives up, which is before its caller does.
            place = self._admission.ask(tenant, tokens, deadline.left, kind=kind)
        except FullError:
            ADMISSION_REFUSED.inc()
            raise
        if place.begun_at is not None:
            ADMISSION_WAIT_SECONDS.observe(0.0)
        else:
            await self._turn_of(place, deadline)
        return place

    async def _turn_of(self, place: QueueTicket, deadline: Deadline) -> None:
        asked_at = time.monotonic()
        turn = asyncio.get_running_loop().create_future()
        place.tell = lambda: None if turn.done() else turn.set_result(None)
        try:
            # Not `wait_for`: it forgets a cancellation that comes with the turn, and the answer
            # would be generated for a client who has left.
            with ADMISSION_WAITING.track_inprogress():
                async with asyncio.timeout(deadline.remaining()):
                    await turn
        except TimeoutError as error:
            self._admission.leave(place)
            ADMISSION_REFUSED.inc()
            raise FullError("there was no room before the deadline. Retry") from error
        except BaseException:
            self._admission.leave(place)
            raise
        if place.begun_at is None:
            ADMISSION_REFUSED.inc()
            raise FullError("there was no room before it was too late to answer. Retry")
        ADMISSION_WAIT_SECONDS.observe(time.monotonic() - asked_at)

    def leave(self, place: QueueTicket, *, answered: bool) -> None:
        """Give it back."""
        self._admission.leave(place, answered=answered)

    @asynccontextmanager
    async def held(
        self, kind: str, tenant: str, tokens: int, deadline: Deadline
    ) -> AsyncIterator[None]:
        """A place for as long as the block lasts.

        Raises:
            FullError: as of `place`.
        """
        place = await self.place(kind, tenant, tokens, deadline)
        is_answered = False
        try:
            yield
            is_answered = True
        finally:
            self.leave(place, answered=is_answered)
