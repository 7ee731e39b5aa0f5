"""When a process that ended is started again, and when no more."""

STEADY_SECONDS = 30.0
"""Who ran so long did not end because of how it was started."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
MOST_SHORT_LIVES = 10


class CrashLoop:
    """Counts lives that were short, one after the other.

    Args:
        most: so many of them, and it is not started again.
    """

    def __init__(self, most: int = MOST_SHORT_LIVES) -> None:
        self.short_lives = 0
        self._most = most

    def pause_after(self, lived_seconds: float) -> float | None:
        """Seconds until the next start; None when there is to be none."""
        if lived_seconds >= STEADY_SECONDS:
            self.short_lives = 0
            return FIRST_PAUSE_SECONDS
        self.short_lives += 1
        if self.short_lives >= self._most:
            return None
        doubled: float = FIRST_PAUSE_SECONDS * 2 ** (self.short_lives - 1)
        return min(doubled, LONGEST_PAUSE_SECONDS)
