"""Why a judge gave no opinion on a window."""

from enum import StrEnum

from modelmill_service_kit.errors import UnavailableError


class Failure(StrEnum):
    """What went wrong, as few words as operators need to know where to look."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """No connection, or one that broke."""
    BUSY = "busy"
    """It says that it has no room now."""
    BROKEN = "broken"
    """It says that the fault is its own."""
    REFUSED = "refused"
    """It is well, and does not take this text."""
    DENIED = "denied"
    """It does not let us ask."""
    BAD_ANSWER = "bad_answer"
    """An answer in which no opinion can be read."""
    UNKNOWN = "unknown"
    """There is no such service or model here."""
    BREAKER_OPEN = "breaker_open"
    """It failed so often that it is not asked now."""


class NoOpinionError(UnavailableError):
    """A judge gave no opinion.

    Args:
        retry_after_seconds: what the judge asked to wait; 0 when it said nothing.
    """

    def __init__(self, failure: Failure, message: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.failure = failure


def bad_answer(what: str) -> NoOpinionError:
    """An answer in which no opinion can be read."""
    return NoOpinionError(Failure.BAD_ANSWER, f"the answer {what}")
