"""Exponential backoff of restarts, with a limit (as CrashLoopBackOff of Kubernetes)."""

MAX_FAILURES = 5
"""Consecutive failures without an answer, after which an engine is given up."""
FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 10.0


class RestartBackoff:
    """Counts consecutive failures; an answer in between resets the count."""

    def __init__(self, limit: int = MAX_FAILURES) -> None:
        self._limit = limit
        self._count = 0

    def add(self, *, answered: bool) -> float | None:
        """Count a failure; returns the delay before the restart, or None after too many."""
        self._count = 1 if answered else self._count + 1
        if self._count > self._limit:
            return None
        return min(FIRST_DELAY_SECONDS * 2.0 ** (self._count - 1), MAX_DELAY_SECONDS)

    def __str__(self) -> str:
        return f"died {self._count} times in a row"
