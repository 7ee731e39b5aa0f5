"""Answers of judges: reasons for no opinion on a window, and an LRU cache of scores."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
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


Scores = Mapping[str, float]
"""Scores from 0 to 1 by category, in the judge's own names."""


class ScoreCache:
    """LRU cache with at most `entries` entries, none older than `seconds`.

    Keys are SHA-256 digests; texts are not stored.
    """

    def __init__(self, *, entries: int, seconds: float, clock: Callable[[], float]) -> None:
        self._entries = entries
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Scores]] = OrderedDict()

    def get(self, question: bytes) -> Scores | None:
        """Cached scores; None if missing or expired."""
        digest = _digest(question)
        heard_at, scores = self._kept.get(digest, (0.0, None))
        if scores is None:
            return None
        if self._clock() - heard_at >= self._seconds:
            del self._kept[digest]
            return None
        self._kept.move_to_end(digest)
        return scores

    def put(self, question: bytes, scores: Scores) -> None:
        """Store scores."""
        digest = _digest(question)
        self._kept[digest] = (self._clock(), scores)
        self._kept.move_to_end(digest)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)


def _digest(question: bytes) -> bytes:
    return hashlib.sha256(question).digest()
