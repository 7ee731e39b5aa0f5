"""Metrics of jobs by step, in columns of 16 bytes a point, sampled where room is limited.

Sampling keeps extremes: of each bucket of neighbouring points the lowest and the highest stay, and
of the whole the first and the last. A spike of one step is drawn, however few points are.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from modelmill.jobs.v1.job_pb2 import JobProgress

MIN_POINTS = 4
"""Fewer cannot have the first, the last, and the extremes between them."""
MAX_HELD_POINTS = 4_000_000
"""Of all jobs together: 64 MB."""
THINNED_TO = 0.75
"""Share of the limit that is left after thinning, so that it is rare."""


class MetricKey(NamedTuple):
    """Name of a metric, and the phase of the job that measured it."""

    phase: str
    name: str


class MetricSeries:
    """Values of one metric, by ascending step.

    Args:
        is_sampled: whether points between these were left out.
    """

    __slots__ = ("is_sampled", "steps", "values")

    def __init__(
        self, steps: Iterable[int] = (), values: Iterable[float] = (), *, is_sampled: bool = False
    ) -> None:
        self.steps = array("Q", steps)
        self.values = array("d", values)
        self.is_sampled = is_sampled

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, step: int, value: float) -> None:
        """Append a point. A step that comes again takes the place of all from it on: the job went
        back to a checkpoint. What is no finite number is left out: JSON has no name for it.
        """
        if not isfinite(value):
            return
        if self.steps and step <= self.steps[-1]:
            cut = bisect_left(self.steps, step)
            del self.steps[cut:], self.values[cut:]
        self.steps.append(step)
        self.values.append(value)

    def extend(self, steps: Iterable[int], values: Iterable[float]) -> None:
        """Append points that follow those that are there."""
        self.steps.extend(steps)
        self.values.extend(values)

    def between(self, first: int, last: int | None) -> "MetricSeries":
        """The points from one step to another, both included; None has no end."""
        begin = bisect_left(self.steps, first)
        end = len(self) if last is None else bisect_right(self.steps, last)
        return self._of(slice(begin, end))

    def followed_by(self, later: "MetricSeries") -> "MetricSeries":
        """All points of this series, and of a later one what is behind them."""
        tail = later.between(self.steps[-1] + 1 if self.steps else 0, None)
        is_sampled = self.is_sampled or (later.is_sampled and len(tail) > 0)
        return MetricSeries(
            self.steps + tail.steps, self.values + tail.values, is_sampled=is_sampled
        )

    def sampled(self, points: int) -> "MetricSeries":
        """The series in at most so many points, at least 4; itself when it has no more."""
        count = len(self)
        if count <= points:
            return self
        buckets = (points - 2) // 2
        bounds = [1 + (count - 2) * bucket // buckets for bucket in range(buckets + 1)]
        kept = [0]
        for begin, end in pairwise(bounds):
            part = self.values[begin:end]
            extremes = {begin + part.index(min(part)), begin + part.index(max(part))}
            kept += sorted(extremes)
        kept.append(count - 1)
        steps, values = self.steps, self.values
        return MetricSeries(
            (steps[place] for place in kept), (values[place] for place in kept), is_sampled=True
        )

    def _of(self, some: slice) -> "MetricSeries":
        return MetricSeries(self.steps[some], self.values[some], is_sampled=self.is_sampled)


class MetricStore:
    """Metrics of all jobs that report, in bounded memory.

    Beyond the bound the longest series are sampled to half of their points.

    Args:
        max_points: of all jobs together.
    """

    def __init__(self, max_points: int = MAX_HELD_POINTS) -> None:
        self._max_points = max_points
        self._jobs: dict[str, dict[MetricKey, MetricSeries]] = {}
        self._points = 0

    @property
    def points(self) -> int:
        """How many are held."""
        return self._points

    def add(self, progress: JobProgress) -> None:
        """Take in a report."""
        if not progress.metrics:
            return
        held = self._jobs.setdefault(progress.job_id, {})
        for name, value in progress.metrics.items():
            series = held.setdefault(MetricKey(progress.phase, name), MetricSeries())
            before = len(series)
            series.add(progress.done, value)
            self._points += len(series) - before
        if self._points > self._max_points:
            self._thin()

    def of(self, job_id: str) -> Mapping[MetricKey, MetricSeries]:
        """The series of one job."""
        return self._jobs.get(job_id, {})

    def forget(self, job_id: str) -> None:
        """Let go of a job's."""
        self._points -= sum(map(len, self._jobs.pop(job_id, {}).values()))

    def _thin(self) -> None:
        slots = [(held, key) for held in self._jobs.values() for key in held]
        slots.sort(key=lambda slot: len(slot[0][slot[1]]), reverse=True)
        for held, key in slots:
            if self._points <= self._max_points * THINNED_TO:
                return
            before = len(held[key])
            held[key] = held[key].sampled(max(MIN_POINTS, before // 2))
            self._points += len(held[key]) - before
