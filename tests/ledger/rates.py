"""Limits of a minute: buckets that leak, in truth and as the records have them."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import floor, inf, nextafter

from gateway.domain.ledger.amounts import REQUESTS, total
from gateway.domain.ledger.budget import Budget

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


class Told:
    """What of a minute may be used up at a moment, at most: what the record says, faded, what it
    does not know of yet, and what is held."""

    def __init__(
        self,
        index: int,
        lives: Sequence[Life],
        records: Sequence[tuple[float, Budget]],
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
        self._written = [at for at, _ in records]

    def most(self, begin: float, end: float) -> int:
        """The most in this stretch of time."""
        changes = self._times[bisect_left(self._times, begin) : bisect_right(self._times, end)]
        first, last = bisect_right(self._written, begin), bisect_right(self._written, end)
        levels = [self._level(at, bisect_right(self._written, at) - 1) for at in (begin, *changes)]
        for number in range(first, last):
            # Whether the gateway had heard of it at this moment is not known here.
            levels += [self._level(self._written[number], each) for each in (number - 1, number)]
        return max(levels)

    def _level(self, at: float, number: int) -> int:
        budget = self._records[max(0, number)][1]
        heard = total(lease.settled.amounts for lease in budget.leases)[self._index]
        known = budget.at(self._clock(at)).settled[self._index]
        return known + self._sums[bisect_right(self._times, at)] - heard
