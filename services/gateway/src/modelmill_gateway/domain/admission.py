"""How much may be in hand at a time, in tokens, and who is next when it is more.

What fits begins at once. What does not waits in a queue that is fair between tenants: the one with
the fewest tokens in hand is next, among equals who was served longest ago. Nobody overtakes.
Who would not begin soon enough is refused at once, and who could not end in time any more is not
begun when its turn comes. Inference has a queue of its own, which knows
each engine's budget: this one bounds what a gateway holds for all of them.

Plain bookkeeping: the clock is an argument of the class, and whoever asked looks at the place.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

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
    """One request's."""

    tenant: str
    tokens: int
    kind: str = ""
    ends_at: float = float("inf")
    """Its deadline, by the clock of the class."""
    begun_at: float | None = None
    """None as long as it waits, and for good when its turn came too late."""
    tell: Callable[[], None] | None = None
    """Called when its turn has come, in time or too late."""


@dataclass(slots=True)
class _Tenant:
    turn: int
    in_hand: int = 0
    waiting: dict[QueueTicket, None] = field(default_factory=dict)
    waiting_tokens: int = 0


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


class Admission:
    """The budget of a process, and the queue in front of it.

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
        self._limit = tokens
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._jitter = jitter
        self._tenants: dict[str, _Tenant] = {}
        self._turns = itertools.count()
        self._holding = _Holding()
        self._stands_since = clock()
        """When room came free last, or was first waited for after that."""
        self._lasts: dict[str, _Lasting] = {}
        self.tokens = 0
        """In hand."""
        self.waiting = 0
        """Requests in the queue."""

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
        known = self._tenants.get(tenant)
        if known is None:
            known = self._tenants[tenant] = _Tenant(next(self._turns))
        if not self.waiting and self._fits(tokens):
            self._begin(place)
            return place
        wait = self._expected_wait(place, known)
        is_late = wait is not None and not self._ends_in_time(kind, seconds, wait)
        is_long = wait is None or wait > self._wait_seconds
        if is_late or is_long:
            self._forget_if_idle(tenant)
            raise self._full(wait)
        if not self.waiting:
            self._stands_since = self._clock()
        known.waiting[place] = None
        known.waiting_tokens += tokens
        self.waiting += 1
        return place

    def leave(self, place: QueueTicket, *, answered: bool = False) -> None:
        """Give the place back, and tell those whose turn has come.

        Args:
            answered: it came to its end, so that its duration says something.
        """
        tenant = self._tenants.get(place.tenant)
        if tenant is None:
            return  # Its turn came too late, and it is forgotten already.
        if place.begun_at is not None:
            self._learn(place, answered)
            tenant.in_hand -= place.tokens
            self.tokens -= place.tokens
        elif place in tenant.waiting:
            self._unqueue(place, tenant)
        self._forget_if_idle(place.tenant)
        self._let_in()

    def _let_in(self) -> None:
        while (following := self._next()) is not None and self._fits(following.tokens):
            self._unqueue(following, self._tenants[following.tenant])
            if self._ends_in_time(following.kind, following.ends_at - self._clock()):
                self._begin(following)
            else:
                self._forget_if_idle(following.tenant)
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

    def _next(self) -> QueueTicket | None:
        if not self.waiting:
            return None
        waiting = [tenant for tenant in self._tenants.values() if tenant.waiting]
        return next(iter(min(waiting, key=lambda it: (it.in_hand, it.turn)).waiting))

    def _expected_wait(self, place: QueueTicket, tenant: _Tenant) -> float | None:
        """Until its turn; None when nothing is known and the queue is as long as the budget."""
        share = tenant.in_hand + tenant.waiting_tokens + place.tokens
        ahead = tenant.waiting_tokens + place.tokens
        for other in self._tenants.values():
            if other is not tenant:
                # It has its turns until it was given as much.
                ahead += min(other.waiting_tokens, max(0, share - other.in_hand))
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
        tenant = self._tenants[place.tenant]
        tenant.turn = next(self._turns)
        tenant.in_hand += place.tokens
        self.tokens += place.tokens
        place.begun_at = self._clock()

    def _unqueue(self, place: QueueTicket, tenant: _Tenant) -> None:
        del tenant.waiting[place]
        tenant.waiting_tokens -= place.tokens
        self.waiting -= 1

    def _forget_if_idle(self, name: str) -> None:
        tenant = self._tenants[name]
        if not tenant.in_hand and not tenant.waiting:
            del self._tenants[name]
