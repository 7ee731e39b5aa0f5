"""Amounts of the five things that are limited, and the limits of a key or a tenant."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

Period = Literal["", "day", "month"]
PERIODS: tuple[Period, ...] = ("", "day", "month")


class Amounts(NamedTuple):
    """One of each: requests and tokens of a minute, requests at a time, tokens, millionths."""

    requests: int = 0
    minute_tokens: int = 0
    parallel: int = 0
    tokens: int = 0
    micros: int = 0


REQUESTS, MINUTE_TOKENS, PARALLEL, TOKENS, MICROS = EVERY = range(5)
RATES = (REQUESTS, MINUTE_TOKENS)
NOTHING = Amounts()


class Settled(NamedTuple):
    """What was used up, in all; it only grows. A request counts when it begins."""

    requests: int = 0
    tokens: int = 0
    micros: int = 0

    @property
    def amounts(self) -> Amounts:
        """Against which limits it counts; a request that ended is not parallel to any."""
        return Amounts(self.requests, self.tokens, 0, self.tokens, self.micros)


def plus(first: Iterable[int], second: Iterable[int]) -> Amounts:
    """The sum."""
    return Amounts(*(one + other for one, other in zip(first, second, strict=True)))


def minus(first: Iterable[int], second: Iterable[int]) -> Amounts:
    """The difference; may be below zero."""
    return Amounts(*(one - other for one, other in zip(first, second, strict=True)))


def least(first: Iterable[int], second: Iterable[int]) -> Amounts:
    """The smaller one of each."""
    return Amounts(*map(min, first, second))


def most(first: Iterable[int], second: Iterable[int]) -> Amounts:
    """The larger one of each."""
    return Amounts(*map(max, first, second))


def total(amounts: Iterable[Amounts]) -> Amounts:
    """All of them together."""
    summed = NOTHING
    for each in amounts:
        summed = plus(summed, each)
    return summed


@dataclass(frozen=True)
class Limits:
    """What may be used at most; 0 sets no limit."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    parallel_requests: int = 0
    tokens: int = 0
    micros: int = 0
    period: Period = ""

    @property
    def caps(self) -> Amounts:
        """By the thing that is limited."""
        rates = (self.requests_per_minute, self.tokens_per_minute)
        return Amounts(*rates, self.parallel_requests, self.tokens, self.micros)

    @property
    def limited(self) -> tuple[int, ...]:
        """Which of them have a limit."""
        return tuple(index for index, cap in enumerate(self.caps) if cap)

    def period_start(self, now_ms: int) -> int:
        """When the period began in which `now_ms` lies, in milliseconds; 0 without periods."""
        if not self.period:
            return 0
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        start = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.period == "month":
            start = start.replace(day=1)
        return round(start.timestamp()) * 1000

    def period_end(self, now_ms: int) -> int:
        """When the next one begins, in milliseconds; 0 without periods."""
        if not self.period:
            return 0
        days = 1 if self.period == "day" else 32
        return self.period_start(self.period_start(now_ms) + days * 86_400_000 + 3_600_000)
