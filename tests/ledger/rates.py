"""Limits of a minute: buckets that leak, in truth and as the records have them."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import floor, inf, nextafter
from typing import NamedTuple

from modelmill_gateway.domain.ledger.budget import REQUESTS, Budget, total

from tests.ledger.lives import Life, tokens

SECONDS = 60.0
WallClock = Callable[[float], int]
"""The time of day in milliseconds at a moment of the callers' clock."""


def over_in_truth(index: int, lives: Sequence[Life], cap: int) -> int:
    """By how much any stretch of time had more than the limit lets through, at least.

    A request counts where it surely was: begun between its sending and inference's hearing of it,
    its tokens used up until its end.
    """
    if index == REQUESTS:
        surely = [(life.sent, life.began, 1) for life in lives if life.reached]
    else:
        surely = [(life.sent, life.ended, tokens(*life.used)) for life in lives if life.reached]
    surely.sort(key=lambda it: it[1])
    most = 0
    for start, _, _ in surely:
        used = 0
        for earliest, latest, amount in surely:
            if earliest >= start:
                used += amount
                most = max(most, used - floor(cap * (1 + (latest - start) / SECONDS)))
    return most


class Record(NamedTuple):
    """A budget as it was written; a busy follower hears of it late."""

    written: float
    heard: float
    budget: Budget


class Told:
    """What of a minute may be used up at a moment, at most: what the record says, faded, what it
    does not know of yet, and what is held."""

    def __init__(
        self,
        index: int,
        lives: Sequence[Life],
        records: Sequence[Record],
        clock: WallClock,
    ) -> None:
        self._index = index
        self._records = records
        self._clock = clock
        events = []
        for life in lives:
            if index == REQUESTS:
                events.append((life.sent, 1))
            else:
                bound, charged = tokens(*life.bound), tokens(*life.charged)
                # At the moment of its end it may still be held.
                ended = nextafter(max(life.sent, life.ended), inf)
                events += [(life.sent, bound), (ended, charged - bound)]
        events.sort()
        self._times = [at for at, _ in events]
        self._sums = [0, *accumulate(amount for _, amount in events)]
        self._written = [record.written for record in records]
        self._heard = [record.heard for record in records]

    def most(self, begin: float, end: float) -> int:
        """The most in this stretch of time."""
        changes = self._times[bisect_left(self._times, begin) : bisect_right(self._times, end)]
        told = self._written[bisect_left(self._written, begin) : bisect_right(self._written, end)]
        return max(
            self._level(at, number) for at in (begin, *changes, *told) for number in self._known(at)
        )

    def _known(self, at: float) -> range:
        """Records by which a gateway may have judged at this moment."""
        first, last = bisect_right(self._heard, at) - 1, bisect_right(self._written, at) - 1
        return range(max(0, first), max(0, first, last) + 1)

    def _level(self, at: float, number: int) -> int:
        budget = self._records[number].budget
        heard = total(lease.settled.amounts for lease in budget.leases)[self._index]
        known = budget.at(self._clock(at)).settled[self._index]
        return known + self._sums[bisect_right(self._times, at)] - heard
