"""How much may be in hand at a time, in tokens, and who is next when it is more.

What fits begins at once. What does not waits in a queue that is fair between tenants. Who would not
begin soon enough is refused at once, and who could not end in time any more is not begun when its
turn comes. Inference has a queue of its own, which knows each engine's budget: this one bounds what
a gateway holds for all of them.

Plain bookkeeping: the clock is an argument of the class, and whoever asked looks at the place.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modelmill_service_kit.fair_queue import FairQueue

from modelmill_gateway.domain.errors import FullError

DEADLINE_SHARE = 0.8
"""Of a request's time, what waiting and answering may be expected to take."""
LEAST_RETRY_SECONDS = 1.0
MEMORY = 16
"""Answers over which their duration is averaged."""
DEVIATION_MEMORY = 4
"""Answers over which it is averaged how far their durations are from the average."""
DEVIATIONS = 2
"""Beyond the average few last longer: none where all lengths are as likely, 8 of 100 where they end
by chance."""


@dataclass(slots=True, eq=False)
class QueueTicket:
    """Queue ticket of one request."""

    tenant: str
    tokens: int
    kind: str = ""
    ends_at: float = float("inf")
    """Its deadline, by the clock of the class."""
    begun_at: float | None = None
    """None as long as it waits, and for good when its turn came too late."""
    tell: Callable[[], None] | None = None
    """Called when its turn has come, in time or too late."""
    answers: int = 1
    """One, however many it asks for: this budget counts tokens alone."""


@dataclass(slots=True)
class _Lasting:
    """How long requests of one kind last: on average, and how far from that they are.

    The distance is followed faster than the average, as by TCP's timer: where one lasts far longer
    than was expected, the next may not be begun into the same pause with as little time.
    """

    seconds: float = 0.0
    deviation: float = 0.0
    answered: int = 0

    def learn(self, seconds: float) -> None:
        if self.answered:
            self.deviation += (abs(seconds - self.seconds) - self.deviation) / DEVIATION_MEMORY
        self.answered = min(self.answered + 1, MEMORY)
        self.seconds += (seconds - self.seconds) / self.answered

    def fits(self, seconds: float, wait: float) -> bool:
        """Whether one that waits so long first ends within `seconds`, but for rare ones."""
        longest = self.seconds + DEVIATIONS * self.deviation
        return wait + self.seconds <= DEADLINE_SHARE * seconds and wait + longest <= seconds


@dataclass(slots=True)
class _Holding:
    """How long a token of the budget is held, on average, whoever holds it.

    What is held is what comes free in that time (Little's law): so the rate at which room comes
    free is known however seldom it was waited for, and without a bias to when it was.
    """

    tokens: float = 0.0
    token_seconds: float = 0.0

    def learn(self, tokens: int, seconds: float, limit: int) -> None:
        """Half is forgotten by the time that the whole budget has come free once."""
        kept = 0.5 ** (tokens / limit)
        self.tokens = self.tokens * kept + tokens
        self.token_seconds = self.token_seconds * kept + tokens * seconds

    @property
    def seconds(self) -> float | None:
        """None before anything came free."""
        return self.token_seconds / self.tokens if self.tokens else None


class Admission(FairQueue[QueueTicket]):
    """Token budget of a process, with a queue that is fair between tenants.

    Args:
        tokens: in hand at a time; 0 sets no limit.
        wait_seconds: nobody is let wait who is expected to wait longer.
        clock: seconds that only grow.
        jitter: a number from 0 to 1, another each time.
    """

    def __init__(
        self,
        tokens: int,
        wait_seconds: float,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        super().__init__()
        self._limit = tokens
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._jitter = jitter
        self._holding = _Holding()
        self._stands_since = clock()
        """When room came free last, or was first waited for after that."""
        self._lasts: dict[str, _Lasting] = {}

    @property
    def limit(self) -> int:
        """Tokens that may be in hand at a time; 0 sets no limit."""
        return self._limit

    def ask(self, tenant: str, tokens: int, seconds: float, *, kind: str = "") -> QueueTicket:
        """A place, begun when there is room.

        Args:
            tokens: what it may come to; what is over the limit counts as all of it.
            seconds: until its deadline.
            kind: one of a few; what one of them lasts says nothing of another.

        Raises:
            FullError: it would wait too long.
        """
        tokens = min(tokens, self._limit) if self._limit else tokens
        place = QueueTicket(tenant, tokens, kind, self._clock() + seconds)
        if not self.waiting and self._fits(tokens):
            self.enter(place)
            self._begin(place)
            return place
        wait = self._expected_wait(place)
        is_late = wait is not None and not self._ends_in_time(kind, seconds, wait)
        is_long = wait is None or wait > self._wait_seconds
        if is_late or is_long:
            raise self._full(wait)
        if not self.waiting:
            self._stands_since = self._clock()
        self.enter(place)
        return place

    def leave(self, place: QueueTicket, *, answered: bool = False) -> None:
        """Give the place back, and tell those whose turn has come.

        Args:
            answered: it came to its end, so that its duration says something.
        """
        if place.begun_at is not None:
            self._learn(place, answered)
            self.end(place)
        elif self.waits(place):
            self.withdraw(place)
        self._let_in()

    def _let_in(self) -> None:
        while (following := self.first()) is not None and self._fits(following.tokens):
            if self._ends_in_time(following.kind, following.ends_at - self._clock()):
                self._begin(following)
            else:
                self.withdraw(following)
            if following.tell is not None:
                following.tell()

    def _learn(self, place: QueueTicket, answered: bool) -> None:
        assert place.begun_at is not None, "it was begun"
        now = self._clock()
        seconds = now - place.begun_at
        lasting = self._lasts.setdefault(place.kind, _Lasting())
        # Who left later than the average says that they last at least as long.
        if answered or seconds > lasting.seconds:
            lasting.learn(seconds)
        if self._limit:
            self._holding.learn(place.tokens, seconds, self._limit)
        self._stands_since = now

    def _ends_in_time(self, kind: str, seconds: float, wait: float = 0.0) -> bool:
        return self._lasts.get(kind, _Lasting()).fits(seconds, wait)

    def _fits(self, tokens: int) -> bool:
        return not self._limit or self.tokens + tokens <= self._limit

    def _expected_wait(self, place: QueueTicket) -> float | None:
        """Until its turn; None when nothing is known and the queue is as long as the budget."""
        ahead, _ = self.taken_with(place)
        missing = ahead + self.tokens - self._limit
        held = self._holding.seconds
        if held is None:
            return 0.0 if ahead <= self._limit else None
        if self.waiting:
            # Nothing came free for longer than that: it is held at least so long by now.
            held = max(held, self._clock() - self._stands_since)
        return max(0.0, missing * held / self._limit)

    def _full(self, wait: float | None) -> FullError:
        seconds = max(LEAST_RETRY_SECONDS, wait or 0.0)
        # Spread over as long again: who was refused together does not come back together.
        return FullError(
            "more is being answered than there is room for. Retry",
            retry_after_seconds=seconds * (1 + self._jitter()),
        )

    def _begin(self, place: QueueTicket) -> None:
        self.begin(place)
        place.begun_at = self._clock()
