"""One deadline for a whole request, handed from hop to hop."""

import time
from collections.abc import Callable

from service_kit.errors import DeadlineError

MARGIN_SECONDS = 0.25
"""Kept back on every hop, so that a peer's own "too late" arrives before we give up."""


class Deadline:
    """A moment after which nobody waits for the answer any more."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    def remaining(self, *, at_most: float = float("inf")) -> float:
        """Seconds that the next hop may take.

        Raises:
            DeadlineError: nothing is left.
        """
        left = self._at - self._clock() - MARGIN_SECONDS
        if left <= 0:
            raise DeadlineError("the request's time is over")
        return min(left, at_most)
