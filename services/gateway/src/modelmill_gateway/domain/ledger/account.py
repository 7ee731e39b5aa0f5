"""One holder's side of a budget: what it may use without asking, and what it writes when it must.

Nothing here waits or speaks: `plan` says what should be written by compare-and-set, and is told
what came of it by `sent`, `see` and `stale`. What is used never exceeds the ceiling of the row
in the record, nor that of any row that may still get there: so a write that timed out and lands
later changes nothing that was not reckoned with.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from modelmill_gateway.domain.ledger.budget import (
    EVERY,
    NOTHING,
    PARALLEL,
    REQUESTS,
    Amounts,
    Budget,
    Lease,
    Settled,
    least,
    minus,
    most,
    plus,
)


class Outcome(Enum):
    """Outcome of a reservation."""

    HELD = "held"
    EXCEEDED = "exceeded"
    """Settled, held and this one together exceed a limit: a fact."""
    WAITING = "waiting"
    """Not known here; the record will tell."""


class Verdict(NamedTuple):
    """Outcome of a reservation."""

    outcome: Outcome
    limit: int = -1
    """With EXCEEDED: index of the limit."""
    left: int = 0
    """What is surely left of it."""
    need: int = 0
    """What the request may use of it."""


HELD = Verdict(Outcome.HELD)
UNKNOWN = Verdict(Outcome.WAITING)


@dataclass(eq=False)
class Waiter:
    """One request that waits; `told` is called once with what came of it."""

    need: Amounts
    callback: Callable[[Verdict], None]
    first_write: int
    """Number of the first write that can have been planned after it came."""
    since_recall: int = 0
    """The first recall that began after it came; 0 before there is one."""


@dataclass(frozen=True)
class Terms:
    """Duration and size of leases; times are in milliseconds."""

    lease_ms: int = 6_000
    grace_ms: int = 30_000
    ahead: int = 8
    """A lease is for so many requests like the dearest of late."""


@dataclass
class Demand:
    """Recent demand, by which the size of a lease is chosen."""

    dearest: list[int] = field(default_factory=lambda: [0] * len(NOTHING))
    taken: list[int] = field(default_factory=lambda: [0] * len(NOTHING))
    """Since the last renewal."""
    before: list[int] = field(default_factory=lambda: [0] * len(NOTHING))
    """From the renewal before to the last."""
    since_ms: int = 0
    """When the last renewal was. The record does not tell: each write for another reason, too, lets
    a lease last longer."""


AFTER_REQUESTS = EVERY[1:]
"""All but the requests of a minute, which are settled when a request begins."""


@dataclass(frozen=True)
class Write:
    """Compare-and-set of a record: it replaces the one with sequence `expected`."""

    body: Budget
    expected: int
    number: int
    recall: int
    """The recall that it begins; 0 for none."""


class Account:
    """A budget as one holder of leases sees it.

    Args:
        settled: what this holder settled before, as its journal says.
    """

    def __init__(self, holder_id: str, budget: Budget, settled: Settled, terms: Terms) -> None:
        self.holder_id = holder_id
        self.budget = budget
        self.sequence = 0
        self.settled = settled
        self._held = [0] * len(NOTHING)
        self.terms = terms
        self.demand = Demand()
        self.waiters: deque[Waiter] = deque()
        self.limited = budget.limits.limited
        self.met = False
        """Whether the record is known to have heard of this process: before that nothing is used,
        for a write of the one before may still be on its way."""
        self.pending: list[Write] = []
        """Written, and nobody knows whether they got there: at most one of them does."""
        self.is_erased = False
        """Whether the record is gone, as of a tenant that was deleted: nothing is written of it."""
        self.modest_until_ms = 0
        """Until then nothing is taken ahead of need: others wait for it."""
        self._ceiling = NOTHING
        self._is_overdrawn = False
        self.free = budget.free
        """What nobody had when the record was written."""
        self._usable_ms = 0
        self._number = 0

    @property
    def held(self) -> Amounts:
        """What its requests in flight hold."""
        return Amounts(*self._held)

    @property
    def used(self) -> Amounts:
        """What is settled and held, from this holder's beginning."""
        return plus(self.settled.amounts, self.held)

    @property
    def unused(self) -> Amounts:
        """What it has and does not use; below zero where it used more than it had."""
        return minus(self._ceiling, self.used)

    @property
    def wanted(self) -> Amounts:
        """What the lease should have unused, by what was asked for of late."""
        demand, ahead = self.demand, self.terms.ahead
        of_late = plus(demand.taken, demand.before)._replace(parallel=self.held.parallel)
        twice = Amounts(*(2 * each for each in of_late))
        return most(Amounts(*(ahead * each for each in demand.dearest)), twice)

    @property
    def is_low(self) -> bool:
        """Whether half of what is wanted is used, so that it is time to get more."""
        demand, ahead, held = self.demand, self.terms.ahead, self._held
        ceiling, settled = self._ceiling, self.settled.amounts
        for index in self.limited:
            of_late = demand.taken[index] + demand.before[index]
            twice = 2 * (held[index] if index == PARALLEL else of_late)
            wanted = max(ahead * demand.dearest[index], twice)
            if 2 * (ceiling[index] - settled[index] - held[index]) < wanted:
                return True
        return False

    @property
    def owes(self) -> bool:
        """Whether its row in the record has anything, or does not say all that is settled."""
        mine = self.budget.lease_of(self.holder_id)
        return mine is not None and self.owes_by(mine)

    def owes_by(self, mine: Lease) -> bool:
        """The same of the row as it would be; one that was never written owes nothing."""
        return any(mine.leased) or (mine.write > 0 and mine.settled != self.settled)

    def fits(self, need: Amounts, now_ms: int) -> bool:
        """Whether the lease covers the need."""
        ceiling, settled, held = self._ceiling, self.settled.amounts, self._held
        if self._is_overdrawn:
            return False
        for index in self.limited:
            if settled[index] + held[index] + need[index] > ceiling[index]:
                return False
            if index <= PARALLEL and now_ms > self._usable_ms:
                return False
        return True

    def hold(self, need: Amounts, now_ms: int) -> Verdict:
        """Hold the need if the lease covers it; refuse it if it can never fit as things stand."""
        dearest = self.demand.dearest
        for index in self.limited:
            if need[index] > dearest[index]:
                dearest[index] = need[index]
        if not self.waiters and self.fits(need, now_ms):
            self._take(need)
            return HELD
        return self._exceeded(need, now_ms, self.budget.at(now_ms), is_counted_whole=False)

    def wait(self, need: Amounts, told: Callable[[Verdict], None]) -> Waiter:
        """Stand in line for the need."""
        waiter = Waiter(need, told, self.next_number())
        self.waiters.append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """It waits no longer, whatever the reason."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)

    def begin(self, need: Amounts) -> None:
        """The request of a need that is held begins: it counts against the minute for good."""
        self._held[REQUESTS] -= need.requests
        requests, tokens, micros = self.settled
        self.settled = Settled(requests + need.requests, tokens, micros)

    def release(self, need: Amounts, now_ms: int) -> None:
        """What was held is not needed: nothing began."""
        for index in EVERY:
            self._held[index] -= need[index]
        self.serve(now_ms)

    def settle(self, need: Amounts, tokens: int, micros: int, now_ms: int) -> None:
        """A request that began has ended, and used so much of what was held."""
        for index in AFTER_REQUESTS:
            self._held[index] -= need[index]
        before = self.settled
        self.settled = Settled(before.requests, before.tokens + tokens, before.micros + micros)
        if self.waiters:
            self.serve(now_ms)

    def serve(self, now_ms: int) -> None:
        """Tell those who wait, in their order, as far as their outcome is known."""
        while self.waiters:
            first = self.waiters[0]
            verdict = self._verdict(first, now_ms)
            if verdict.outcome is Outcome.WAITING:
                return
            self.waiters.popleft()
            if verdict.outcome is Outcome.HELD:
                self._take(first.need)
            first.callback(verdict)

    def update(self, budget: Budget, sequence: int, now_ms: int) -> None:
        """Take in the record as somebody wrote it; an old one changes nothing."""
        if sequence <= self.sequence:
            return
        mine = budget.lease_of(self.holder_id)
        for write in self.pending:
            if mine is not None and mine.write == write.number:
                self._arrived(write, mine)
        self.pending = [each for each in self.pending if each.expected >= sequence]
        self.budget, self.sequence, self.is_erased = budget, sequence, False
        self.limited = budget.limits.limited
        if mine is not None:
            self._number = max(self._number, mine.write)
        self.free = free = budget.free
        # A limit was lowered, or a bound was broken: what is unused is not used before it fits.
        self._is_overdrawn = any(free[index] < 0 for index in self.limited if index >= PARALLEL)
        self._reckon()
        self.serve(now_ms)

    def erased(self) -> None:
        """The record is gone: a write that expects it would be refused for ever."""
        self.is_erased = True

    def sent(self, write: Write) -> None:
        """The write is on its way: from now on it is reckoned with."""
        self.pending.append(write)
        self._number = max(self._number, write.number)
        self._reckon()

    def stale(self, write: Write) -> None:
        """Somebody wrote first: it is not in the record and never will be."""
        self.pending = [each for each in self.pending if each is not write]
        self._reckon()

    def next_number(self) -> int:
        """For a row that is to be written."""
        return self._number + 1

    def _arrived(self, write: Write, mine: Lease) -> None:
        self.met = True
        self._usable_ms = mine.expires_ms + self.terms.grace_ms // 2
        for waiter in self.waiters if write.recall else ():
            # Who came while it was on its way came after the recall began: what others told in
            # answer to it may be older than the request.
            if write.number >= waiter.first_write:
                waiter.since_recall = waiter.since_recall or write.recall

    def _take(self, need: Amounts) -> None:
        held, taken = self._held, self.demand.taken
        for index in EVERY:
            held[index] += need[index]
            taken[index] += need[index]

    def _reckon(self) -> None:
        """The least ceiling of all rows that are in the record or may get there."""
        mine = self.budget.lease_of(self.holder_id) if self.met else None
        ceiling = mine.ceiling if mine is not None else self.settled.amounts
        for write in self.pending:
            row = write.body.lease_of(self.holder_id) or Lease(self.holder_id)
            ceiling = least(ceiling, row.ceiling)
        self._ceiling = ceiling

    def _verdict(self, waiter: Waiter, now_ms: int) -> Verdict:
        if self.fits(waiter.need, now_ms):
            return HELD
        budget = self.budget.at(now_ms)
        known = bool(waiter.since_recall) and budget.recall >= waiter.since_recall
        quiet = budget.quiet_before and budget.grants == budget.grants_at_recall
        everybody = budget.has_followed(self.holder_id) and self._has_followed(budget)
        is_counted_whole = known and quiet and everybody
        return self._exceeded(waiter.need, now_ms, budget, is_counted_whole=is_counted_whole)

    def _has_followed(self, budget: Budget) -> bool:
        mine = budget.lease_of(self.holder_id)
        return mine is not None and mine.answered >= budget.recall

    def _exceeded(
        self, need: Amounts, now_ms: int, budget: Budget, *, is_counted_whole: bool
    ) -> Verdict:
        """Whether the need exceeds a limit beside what is surely used.

        Args:
            is_counted_whole: all leases of others are surely used, too. A closed one is not without
                it: its holder may have come back since.
        """
        mine = budget.lease_of(self.holder_id)
        told = mine.settled.amounts if mine is not None else self.settled.amounts
        used = plus(budget.settled, minus(self.used, told))
        for lease in budget.leases:
            if is_counted_whole and lease.holder_id != self.holder_id:
                used = plus(used, lease.leased)
        caps = budget.limits.caps
        for index in self.limited:
            if used[index] + need[index] > caps[index]:
                left = max(0, caps[index] - used[index])
                return Verdict(Outcome.EXCEEDED, index, left, need[index])
        return UNKNOWN
