"""What a model says to one question."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True, slots=True)
class ModelAnswer(Generic[Value]):
    """To one question."""

    value: Value | None
    """None where the model has no answer to this question."""
    version_id: str
    """Of who answered; empty for a refusal."""
    refusal: str = ""
    """Why there is no answer."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a continuation is."""

    log_likelihood: float
    """Natural logarithm, summed over its tokens."""
    tokens: int
    is_greedy: bool
    """Greedy generation would say just this."""


@dataclass(frozen=True, slots=True)
class Text:
    """What was generated."""

    text: str
    finish_reason: str
    """"stop", "length" or "tool_calls"."""
