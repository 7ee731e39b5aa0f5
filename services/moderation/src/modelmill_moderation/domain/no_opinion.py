"""Reasons why a judge gives no opinion on a window."""

from enum import StrEnum

from modelmill_service_kit.errors import UnavailableError


class Failure(StrEnum):
    """Reason, as the label of a metric."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """No connection, or it broke."""
    BUSY = "busy"
    """It is overloaded or rate limits us."""
    BROKEN = "broken"
    """It reports an internal error."""
    REFUSED = "refused"
    """It is healthy, but rejects this text."""
    DENIED = "denied"
    """It rejects our credentials."""
    BAD_ANSWER = "bad_answer"
    """The response is invalid."""
    UNKNOWN = "unknown"
    """The service or model is not configured here."""
    BREAKER_OPEN = "breaker_open"
    """The circuit breaker is open after repeated failures."""


class NoOpinionError(UnavailableError):
    """A judge gave no opinion.

    Args:
        retry_after_seconds: Retry-After of the judge; 0 for none.
    """

    def __init__(self, failure: Failure, message: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.failure = failure


def bad_answer(what: str) -> NoOpinionError:
    """The response is invalid."""
    return NoOpinionError(Failure.BAD_ANSWER, f"the answer {what}")
