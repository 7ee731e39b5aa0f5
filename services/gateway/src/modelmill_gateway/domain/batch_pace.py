"""How many requests of a batch are in flight: fewer after each refusal, so that people go first."""

import random

LONGEST_PAUSE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.5


class BatchPace:
    """Halves with a refusal, grows by one with as many answers as there are requests in flight.

    Args:
        most: requests in flight at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(most)
        self._refused = 0
        self._until = 0.0

    @property
    def allowed(self) -> int:
        """Requests that may be in flight now."""
        return max(1, int(self._allowed))

    def pause(self, now: float) -> float:
        """Seconds until the next request may go out."""
        return max(0.0, self._until - now)

    def answered(self) -> None:
        """There was room for a request."""
        self._refused = 0
        self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)

    def refused(self, now: float, retry_after: float) -> None:
        """There was none; what is in flight may hear the same, and counts once a pause."""
        if now < self._until:
            return
        self._refused += 1
        self._allowed = max(1.0, self._allowed / 2)
        own = min(FIRST_PAUSE_SECONDS * 2 ** min(self._refused - 1, 10), LONGEST_PAUSE_SECONDS)
        wanted = min(max(own, retry_after), LONGEST_PAUSE_SECONDS)
        # Replicas that were refused together must not come back together.
        self._until = now + wanted * random.uniform(1.0, 1.25)
