"""When to save: often enough to lose little, seldom enough to cost little.

J. W. Young, "A first order approximation to the optimum checkpoint interval" (1974); J. T. Daly, "A
higher order estimate of the optimum checkpoint interval for restart dumps" (2006): with C seconds
for a checkpoint and M seconds between interruptions, sqrt(2 C M) seconds of work between two.
"""

import math
import time
from collections.abc import Callable
from statistics import median

FIRST_SECONDS = 30.0
"""Until it is known how long one takes."""
REMEMBERED = 5


class CheckpointPace:
    """Says after each step whether a checkpoint is due.

    Args:
        steps: Steps between two; 0 to choose by time.
        seconds_between_interruptions: The mean that is expected.
        clock: Seconds that go on steadily.
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
        """How long a checkpoint takes, as far as it is known; 0 before the first."""
        return median(self._writes) if self._writes else 0.0

    @property
    def interval_seconds(self) -> float:
        """Of work between two checkpoints; where steps are counted it plays no part."""
        if not self._writes:
            return min(FIRST_SECONDS, self._between)
        return math.sqrt(2 * self.write_seconds * self._between)

    def is_due(self, step: int) -> bool:
        """Whether to save after so many steps."""
        if self._steps:
            return step % self._steps == 0
        return self._clock() - self._worked_since >= self.interval_seconds

    def saved(self, seconds: float) -> None:
        """A checkpoint has been made durable in so many seconds."""
        self._writes = [*self._writes, seconds][-REMEMBERED:]
        self._worked_since = self._clock()
