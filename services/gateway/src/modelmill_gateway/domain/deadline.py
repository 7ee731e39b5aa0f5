"""One deadline for a whole request, handed from hop to hop."""

import time
from collections.abc import Callable

from modelmill_service_kit.errors import DeadlineError

MARGIN_SECONDS = 0.25
"""Kept back on every hop, so that a peer's own "too late" arrives before we give up."""


class Deadline:
    """A moment after which nobody waits for the answer any more."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds that the next hop may take; 0 or less when the time is over."""
        return self._at - self._clock() - MARGIN_SECONDS

    def remaining(self, *, at_most: float = float("inf")) -> float:
        """Seconds that the next hop may take.

        Raises:
            DeadlineError: nothing is left.
        """
        left = self.left
        if left <= 0:
            raise DeadlineError("the request's time is over")
        return min(left, at_most)
