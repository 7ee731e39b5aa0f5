"""What is asked: how often, and how long prompts and answers are."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Rate = Callable[[float], float]
"""Requests a second at a time."""


@dataclass(frozen=True)
class OfferedRequest:
    """When a request comes, and how long its answer will be."""

    at: float
    output_tokens: int


@dataclass(frozen=True)
class RequestLengths:
    """Lengths of requests."""

    prompt_tokens: int
    output_tokens: int
    """On average."""
    spread: float = 0.75
    """Answers are between this share shorter and longer, all lengths as likely."""

    @property
    def longest_output(self) -> int:
        """Tokens of the longest answer, for which room is held."""
        return round(self.output_tokens * (1 + self.spread))

    @property
    def shortest_output(self) -> int:
        """Tokens of the shortest answer."""
        return max(1, 2 * self.output_tokens - self.longest_output)

    def output_at(self, share: float) -> float:
        """Tokens that this share of answers does not exceed."""
        return self.shortest_output + share * (self.longest_output - self.shortest_output)

    def draw_output(self, draws: random.Random) -> int:
        """Tokens of one answer."""
        return draws.randint(self.shortest_output, self.longest_output)


def poisson(draws: random.Random, rate: Rate, highest: float, until: float) -> Iterator[float]:
    """Times of arrivals that know nothing of each other (thinning, for a rate that changes).

    Args:
        highest: that the rate ever is.
    """
    now = 0.0
    while (now := now + draws.expovariate(highest)) < until:
        if draws.random() * highest < rate(now):
            yield now
