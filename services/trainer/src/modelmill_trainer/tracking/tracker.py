"""What a tracker is, and the one rule for all of them: whatever it does, the job goes on."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from modelmill_jobs.errors import JobFailed
from modelmill_jobs.progress import Report
from prometheus_client import Counter

log = logging.getLogger(__name__)

FAILURES = Counter(
    "modelmill_tracking_failures", "Attempts to reach a tracker that failed.", ["tracker"]
)

Status = Literal["finished", "failed", "interrupted"]


class TrackingError(Exception):
    """A tracker could not be reached or did not take what it was given; one line, no secrets."""


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run before its first step."""

    job_id: str
    tenant: str
    name: str
    attempt: int
    choices: Mapping[str, Any]
    """Hyper-parameters."""
    made_from: Mapping[str, str]
    """Role to digest."""


@dataclass(frozen=True)
class Point:
    """What was measured at one step."""

    step: int
    at_seconds: float
    """Since 1970."""
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Ending:
    """How a run, or an attempt of it, ended."""

    status: Status
    figures: Mapping[str, float] = field(default_factory=dict)
    """Of the whole run."""
    digest: str = ""
    """Of the artifact; empty without one."""


@dataclass(frozen=True)
class TrackerPatience:
    """What a run has for a tracker that is slow or away."""

    max_waiting: int = 10_000
    """Steps kept for it; then the oldest go."""
    retry_seconds: tuple[float, ...] = (1.0, 2.0, 5.0, 15.0, 30.0)
    interval_seconds: float = 1.0
    """Steps of so long go out together."""
    close_seconds: float = 30.0
    """How long the end of a job waits for it."""


PATIENCE = TrackerPatience()


class Sink(Protocol):
    """One run at one tracker."""

    async def send(self, points: Sequence[Point]) -> None:
        """Take steps, in order; some may come twice. Raises TrackingError."""

    async def close(self, ending: Ending) -> None:
        """Take the end. Raises TrackingError."""


class Tracker(Protocol):
    """A tool that shows runs."""

    name: str

    async def open(self, facts: RunFacts) -> Sink:
        """Begin a run, or go on with that of an earlier attempt. Raises TrackingError."""


class Feed:
    """Brings a run to one tracker, in a task of its own."""

    def __init__(self, tracker: Tracker, facts: RunFacts, patience: TrackerPatience) -> None:
        self._tracker = tracker
        self._facts = facts
        self._patience = patience
        self._waiting: list[Point] = []
        self._lost = 0
        self._ending = Ending("interrupted")
        self._over = asyncio.Event()
        self._news = asyncio.Event()
        self._problem = ""
        """Of the last attempt that failed."""
        self._told = False
        """Whether the tracker has taken the end."""

    def take(self, point: Point) -> None:
        """Take a step; never waits."""
        self._waiting.append(point)
        if len(self._waiting) > self._patience.max_waiting:
            del self._waiting[0]
            self._lost += 1
        self._news.set()

    def end(self, ending: Ending) -> None:
        """Take the end; `run` then returns once it is told."""
        self._ending = ending
        self._over.set()
        self._news.set()

    async def run(self) -> None:
        """Bring everything, until the end is told."""
        sink: Sink | None = None
        failed = 0
        while True:
            await self._news.wait()
            try:
                sink = sink or await self._tracker.open(self._facts)
                await self._send(sink)
                if self._over.is_set() and not self._waiting:
                    await sink.close(self._ending)
                    self._told = True
                    return
                failed = 0
                if not self._over.is_set():
                    await self._rest(self._patience.interval_seconds)
            except Exception as error:  # whatever a tracker's fault is, it is not the job's
                FAILURES.labels(self._tracker.name).inc()
                expected = isinstance(error, TrackingError)
                log.warning(
                    "%s of job %s: %s",
                    *(self._tracker.name, self._facts.job_id, error),
                    exc_info=not expected,
                )
                self._problem = str(error) if expected else type(error).__name__
                pauses = self._patience.retry_seconds
                await self._rest(pauses[min(failed, len(pauses) - 1)])
                failed += 1

    @property
    def warning(self) -> str:
        """What did not arrive, and why; empty when everything did."""
        missing = self._lost + len(self._waiting)
        if self._told and not missing:
            return ""
        reason = self._problem or "it did not answer in time"
        return f"{self._tracker.name} has not the whole run, {missing} steps are missing: {reason}"

    async def _send(self, sink: Sink) -> None:
        while self._waiting:
            points = self._waiting[:500]
            await sink.send(points)
            # By identity: steps may have been dropped from the front meanwhile.
            sent = set(map(id, points))
            self._waiting = [point for point in self._waiting if id(point) not in sent]
        if not self._over.is_set():
            self._news.clear()

    async def _rest(self, seconds: float) -> None:
        """Wait so long, or until the run is over; after that only for the first retry's time."""
        if self._over.is_set():
            await asyncio.sleep(self._patience.retry_seconds[0])
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


class TrackedRun:
    """A run at all trackers."""

    def __init__(self, feeds: Mapping[Feed, "asyncio.Task[None]"], *, close_seconds: float) -> None:
        self._feeds = dict(feeds)
        self._close_seconds = close_seconds
        self.warnings: list[str] = []
        """What trackers missed; known once the run has ended."""

    def take(self, report: Report) -> None:
        """Take a progress report; those without a loss are no steps."""
        if "loss" in report.metrics:
            point = Point(report.done, time.time(), dict(report.metrics))
            for feed in self._feeds:
                feed.take(point)

    async def finish(self, ending: Ending) -> None:
        """Tell the end and wait for the trackers, but not for long; a second time does nothing."""
        feeds, self._feeds = self._feeds, {}
        for feed in feeds:
            feed.end(ending)
        if feeds:
            await asyncio.wait(feeds.values(), timeout=self._close_seconds)
        self.warnings += [feed.warning for feed in feeds if feed.warning]


@asynccontextmanager
async def tracked_run(
    trackers: Sequence[Tracker], facts: RunFacts, patience: TrackerPatience = PATIENCE
) -> AsyncIterator[TrackedRun]:
    """A run that is brought to all trackers while the block lasts.

    Whoever has made the model calls `finish`; a block that ends otherwise tells so itself.
    """
    feeds = [Feed(tracker, facts, patience) for tracker in trackers]
    tasks = [asyncio.create_task(feed.run()) for feed in feeds]
    run = TrackedRun(dict(zip(feeds, tasks, strict=True)), close_seconds=patience.close_seconds)
    try:
        yield run
    except JobFailed:
        await run.finish(Ending("failed"))
        raise
    except Exception:
        # Preempted, fenced or broken: another attempt goes on with the run.
        await run.finish(Ending("interrupted"))
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
