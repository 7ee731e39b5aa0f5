"""A place in the queue of this process, waited for: what all that asks inference or judges does."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from modelmill_gateway.domain.admission import Admission, QueueTicket
from modelmill_gateway.domain.deadline import ALLOWED_SECONDS, MARGIN_SECONDS, Deadline
from modelmill_gateway.domain.errors import FullError
from modelmill_gateway.metrics import ADMISSION_REFUSED, ADMISSION_WAIT_SECONDS, ADMISSION_WAITING

CHARS_A_TOKEN = 4
"""Of a prompt, roughly: what is held here is memory and time, not a bill."""


def tokens_in(texts: Iterable[str]) -> int:
    """What texts may come to, each at least a token."""
    return sum([1 + len(text) // CHARS_A_TOKEN for text in texts])


class AdmissionQueue:
    """Gives out places, in turn.

    Args:
        request_seconds: a request's time, waiting included, where its caller allows no less.
    """

    def __init__(self, admission: Admission, request_seconds: float) -> None:
        self._admission = admission
        self._request_seconds = request_seconds

    async def place(
        self, kind: str, tenant: str, tokens: int, seconds: float | None = None
    ) -> tuple[QueueTicket, float]:
        """A place whose turn has come, and the seconds that are left; give it back by `leave`.

        Who answers keeps `MARGIN_SECONDS` of these back, as `Deadline.remaining` does.

        Args:
            kind: of request; those of one kind last alike.
            seconds: what the caller itself allows.

        Raises:
            FullError: it would not begin, or not end, in time; nothing was begun.
        """
        allowed = min(self._request_seconds, seconds or self._request_seconds)
        allowed = min(allowed, ALLOWED_SECONDS.get() or allowed)
        try:
            # An answer must be whole when the next hop gives up, which is before its caller does.
            place = self._admission.ask(tenant, tokens, allowed - MARGIN_SECONDS, kind=kind)
        except FullError:
            ADMISSION_REFUSED.inc()
            raise
        if place.begun_at is not None:
            ADMISSION_WAIT_SECONDS.observe(0.0)
            return place, allowed
        return place, await self._turn_of(place, allowed)

    async def _turn_of(self, place: QueueTicket, allowed: float) -> float:
        deadline, asked_at = Deadline(allowed), time.monotonic()
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
        waited = time.monotonic() - asked_at
        ADMISSION_WAIT_SECONDS.observe(waited)
        # All that is left: a queue of our own is no hop, for which a margin would be kept back.
        return allowed - waited

    def leave(self, place: QueueTicket, *, answered: bool) -> None:
        """Give it back."""
        self._admission.leave(place, answered=answered)

    @asynccontextmanager
    async def held(self, kind: str, tenant: str, tokens: int) -> AsyncIterator[float]:
        """A place for as long as the block lasts; gives the seconds that are left for it.

        Raises:
            FullError: as of `place`.
        """
        place, seconds = await self.place(kind, tenant, tokens)
        is_answered = False
        try:
            yield seconds
            is_answered = True
        finally:
            self.leave(place, answered=is_answered)
