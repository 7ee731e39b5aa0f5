"""What a request asks of an engine, where it stands, and what it hears when it is refused."""

from dataclasses import dataclass
from enum import Enum

from modelmill_service_kit.errors import (
    DeadlineError,
    DomainError,
    OverloadedError,
    TooLargeError,
    UnavailableError,
)

LEAST_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How much may be asked of an engine at a time."""

    tokens: int
    """In flight: prompts, and what their answers may come to."""
    sequences: int
    """In flight: answers."""
    waiting: int
    """Requests in the queue. A tenant may have no more places than are left for others."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request will take."""

    tenant: str
    prompt_tokens: int
    new_tokens: int = 0
    """Of each answer, at most; 0 for what generates nothing."""
    answers: int = 1

    @property
    def tokens(self) -> int:
        """Of the budget."""
        return (self.prompt_tokens + self.new_tokens) * self.answers


class Place(Enum):
    """Where a request stands."""

    WAITING = "waiting"
    RUNNING = "running"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's place."""

    ask: Ask
    deadline: float
    place: Place = Place.WAITING
    has_waited: bool = False
    refusal: DomainError | None = None
    """Why it is gone, when it did not leave by itself."""
    heard: int = 0
    """Tokens that it was given."""

    @property
    def tenant(self) -> str:
        """Who asked."""
        return self.ask.tenant

    @property
    def tokens(self) -> int:
        """Of the budget."""
        return self.ask.tokens

    @property
    def answers(self) -> int:
        """Of the budget."""
        return self.ask.answers


def check_size(ask: Ask, limits: AdmissionLimits) -> None:
    """Refuse what would not even fit into the idle engine; TooLargeError names the limit."""
    if ask.tokens > limits.tokens:
        raise TooLargeError(
            f"the request may come to {ask.tokens} tokens, prompts and answers together, and "
            f"the limit is {limits.tokens}. Ask for fewer or shorter answers, or for "
            "less at a time"
        )
    if ask.answers > limits.sequences:
        raise TooLargeError(
            f"{ask.answers} answers were asked for, and the limit is {limits.sequences}"
        )


def late() -> DeadlineError:
    return DeadlineError("the deadline passed before the request could begin")


def stopping() -> UnavailableError:
    return UnavailableError("this replica is stopping. Retry")


def queue_full(waiting: int, seconds: float | None) -> OverloadedError:
    message = f"{waiting} requests wait for this model, and no more may. Retry"
    return _overloaded(message, seconds).because("QUEUE_FULL")


def no_time(seconds: float | None) -> OverloadedError:
    message = "the model is busy and would not answer before the deadline. Allow more time or retry"
    return _overloaded(message, seconds).because("NO_TIME")


def _overloaded(message: str, seconds: float | None) -> OverloadedError:
    return OverloadedError(
        message, retry_after_seconds=max(LEAST_RETRY_SECONDS, round(seconds or 0.0, 1))
    )
