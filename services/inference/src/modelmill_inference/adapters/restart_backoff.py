"""How long a supervisor waits before it starts again what died, and when it gives up."""

MAX_FAILURES = 5
"""Deaths without an answer in between, after which an engine gives up."""
FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 10.0


class RestartBackoff:
    """Counts deaths in a row; an answer in between makes the next one the first again."""

    def __init__(self, limit: int = MAX_FAILURES) -> None:
        self._limit = limit
        self._count = 0

    def add(self, *, answered: bool) -> float | None:
        """One more: the seconds to wait before the next start; None when it is one too many."""
        self._count = 1 if answered else self._count + 1
        if self._count > self._limit:
            return None
        return min(FIRST_DELAY_SECONDS * 2.0 ** (self._count - 1), MAX_DELAY_SECONDS)

    def __str__(self) -> str:
        return f"died {self._count} times in a row"
