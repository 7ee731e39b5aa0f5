"""What a tracker is, and the one rule for all of them: whatever it does, the job goes on."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from jobs.errors import JobFailed
from jobs.progress import Report
from prometheus_client import Counter

log = logging.getLogger(__name__)

FAILURES = Counter(
    "modelmill_tracking_failures", "Attempts to reach a tracker that failed.", ["tracker"]
)
MAX_WAITING = 10_000
"""Steps kept for a tracker that is away; then the oldest go."""
RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)
INTERVAL_SECONDS = 1.0
"""Steps of so long go out together."""
CLOSE_SECONDS = 10.0
"""How long the end of a job waits for a tracker."""

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

    def __init__(self, tracker: Tracker, facts: RunFacts) -> None:
        self._tracker = tracker
        self._facts = facts
        self._waiting: list[Point] = []
        self._lost = 0
        self._ending: Ending | None = None
        self._news = asyncio.Event()
        self._problem = ""

    def take(self, point: Point) -> None:
        """Take a step; never waits."""
        self._waiting.append(point)
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[0]
            self._lost += 1
        self._news.set()

    def end(self, ending: Ending) -> None:
        """Take the end; `run` then returns once it is told."""
        self._ending = ending
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
                if self._ending is not None and not self._waiting:
                    await sink.close(self._ending)
                    self._problem = ""
                    return
                self._problem, failed = "", 0
                await self._rest(INTERVAL_SECONDS)
            except TrackingError as error:
                FAILURES.labels(self._tracker.name).inc()
                log.warning("%s of job %s: %s", self._tracker.name, self._facts.job_id, error)
                self._problem = str(error)
                await asyncio.sleep(RETRY_SECONDS[min(failed, len(RETRY_SECONDS) - 1)])
                failed += 1

    @property
    def warning(self) -> str:
        """What did not arrive, and why; empty when everything did."""
        if not self._problem and not self._lost:
            return ""
        missing = self._lost + len(self._waiting)
        reason = f": {self._problem}" if self._problem else ""
        return f"{self._tracker.name} has not the whole run, {missing} steps are missing{reason}"

    async def _send(self, sink: Sink) -> None:
        while self._waiting:
            points = self._waiting[:500]
            await sink.send(points)
            # By identity: steps may have been dropped from the front meanwhile.
            sent = set(map(id, points))
            self._waiting = [point for point in self._waiting if id(point) not in sent]
        if self._ending is None:
            self._news.clear()

    async def _rest(self, seconds: float) -> None:
        if self._ending is None:
            await asyncio.sleep(seconds)


class TrackedRun:
    """A run at all trackers."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = feeds
        self.ending = Ending("interrupted")
        self.warnings: list[str] = []
        """What trackers missed; known once the run has ended."""

    def take(self, report: Report) -> None:
        """Take a progress report; those without a loss are no steps."""
        if "loss" in report.metrics:
            for feed in self._feeds:
                feed.take(Point(report.done, time.time(), dict(report.metrics)))

    async def finish(self, ending: Ending) -> None:
        """Tell the end and wait for the trackers, but not for long."""
        tasks = [task for task in self._tasks if not task.done()]
        for feed in self._feeds:
            feed.end(ending)
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        self.warnings = [feed.warning for feed in self._feeds if feed.warning]
        self._feeds = ()

    _tasks: Sequence["asyncio.Task[None]"] = ()


@asynccontextmanager
async def tracked_run(trackers: Sequence[Tracker], facts: RunFacts) -> AsyncIterator[TrackedRun]:
    """A run that is brought to all trackers while the block lasts.

    Whoever has made the model calls `finish`; a block that ends otherwise tells so itself.
    """
    feeds = [Feed(tracker, facts) for tracker in trackers]
    run = TrackedRun(feeds)
    async with AsyncExitStack() as stack:
        run._tasks = [asyncio.create_task(feed.run()) for feed in feeds]
        for task in run._tasks:
            stack.callback(task.cancel)
        try:
            yield run
        except JobFailed:
            await run.finish(Ending("failed"))
            raise
        except Exception:
            # Preempted, fenced or broken: another attempt goes on with the run.
            await run.finish(Ending("interrupted"))
            raise
