"""Log lines that a caller can provoke at will, so few that they fill no disk."""

import logging
import time
from collections.abc import Callable


class LimitedLog:
    """Writes at most one warning in `seconds`, and how many it left out since the last one.

    Args:
        log: where the lines go.
        seconds: between two lines.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        log: logging.Logger,
        seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._seconds = seconds
        self._clock = clock
        self._next_at = float("-inf")
        self._left_out = 0

    def warning(self, message: str, *args: object) -> None:
        """Log it, or count it as left out."""
        now = self._clock()
        if now < self._next_at:
            self._left_out += 1
            return
        self._log.warning(f"{message} (%d more since the last such line)", *args, self._left_out)
        self._next_at, self._left_out = now + self._seconds, 0
