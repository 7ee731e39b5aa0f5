"""Checkpoint interval by the Young/Daly formula.


J. W. Young, "A first order approximation to the optimum checkpoint interval" (1974); J. T. Daly, "A
higher order estimate of the optimum checkpoint interval for restart dumps" (2006): with C seconds
for a checkpoint and M seconds between interruptions, sqrt(2 C M) seconds of work between two.
"""

import math
import time
from collections.abc import Callable
from statistics import median

FIRST_SECONDS = 30.0
"""Interval before the first checkpoint, whose duration is unknown."""
REMEMBERED = 5


class CheckpointSchedule:
    """Decides after each step whether a checkpoint is due.

    Args:
        steps: Fixed interval in steps; 0 to choose by time.
        seconds_between_interruptions: Expected mean time between failures.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        steps: int,
        seconds_between_interruptions: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps = steps
        self._between = seconds_between_interruptions
        self._clock = clock
        self._worked_since = clock()
        self._writes: list[float] = []

    @property
    def write_seconds(self) -> float:
        """Median duration of recent checkpoints; 0 before the first."""
        return median(self._writes) if self._writes else 0.0

    @property
    def interval_seconds(self) -> float:
        """Working time between checkpoints; unused with a fixed interval in steps."""
        if not self._writes:
            return min(FIRST_SECONDS, self._between)
        return math.sqrt(2 * self.write_seconds * self._between)

    def is_due(self, step: int) -> bool:
        """Whether to save after `step` steps."""
        if self._steps:
            return step % self._steps == 0
        return self._clock() - self._worked_since >= self.interval_seconds

    def saved(self, seconds: float) -> None:
        """Record the duration of a durable checkpoint."""
        self._writes = [*self._writes, seconds][-REMEMBERED:]
        self._worked_since = self._clock()
