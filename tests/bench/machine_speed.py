"""Whether a machine is as fast at the end of a bench as it was: others may share its processors."""

import time
from collections.abc import Sequence
from statistics import median

ADDITIONS, TIMES = 4_000_000, 5
MOST_CHANGE = 0.15
"""Of what was measured at one time, next to what was measured at another."""


def work_seconds() -> float:
    """Median of a fixed computation, a second in all."""
    return median(_once() for _ in range(TIMES))


def unsteady(seconds: Sequence[float]) -> str:
    """Why figures of a run say nothing of each other; empty if they do.

    Args:
        seconds: of the same work, at times of the run.
    """
    change = max(seconds) / min(seconds) - 1
    if change <= MOST_CHANGE:
        return ""
    return f"the machine's speed changed by {change:.0%} while this ran. Repeat it on a quiet one"


def _once() -> float:
    began, total = time.perf_counter(), 0
    for number in range(ADDITIONS):
        total += number
    return time.perf_counter() - began
