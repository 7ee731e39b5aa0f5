"""Limits of what a model may cost, in tokens or money, over all runs of the same work."""

from dataclasses import dataclass
from typing import Any

MILLION = 1_000_000


@dataclass(frozen=True)
class Usage:
    """Tokens of requests and answers."""

    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens
        )

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Budget:
    """What may be spent; without limits everything."""

    max_tokens: int | None = None
    max_cost: float | None = None
    input_price: float = 0.0
    """Of a million tokens, in the currency of `max_cost`."""
    output_price: float = 0.0

    def cost(self, usage: Usage) -> float:
        """Price of tokens."""
        price = usage.input_tokens * self.input_price + usage.output_tokens * self.output_price
        return price / MILLION

    def document(self, usage: Usage) -> dict[str, Any]:
        """Usage and its price, for programs."""
        return {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost": round(self.cost(usage), 6),
        }

    def admits(self, usage: Usage) -> bool:
        """Whether so much is within the limits."""
        if self.max_tokens is not None and usage.tokens > self.max_tokens:
            return False
        return self.max_cost is None or self.cost(usage) <= self.max_cost
