"""One deadline for a whole request, handed from hop to hop."""

import time
from collections.abc import Callable
from contextvars import ContextVar

from modelmill_service_kit.errors import DeadlineError

MARGIN_SECONDS = 0.25
"""Kept back on every hop, so that a peer's own "too late" arrives before we give up."""


ALLOWED_SECONDS: ContextVar[float | None] = ContextVar("allowed_seconds", default=None)
"""What the caller of the request in hand allows, where a door was told."""


class Deadline:
    """A moment after which nobody waits for the answer any more; never later than was allowed."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        allowed = ALLOWED_SECONDS.get()
        if allowed is not None:
            seconds = min(seconds, allowed)
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
