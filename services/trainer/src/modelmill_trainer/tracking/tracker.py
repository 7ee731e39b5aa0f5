"""Experiment tracker interface and delivery; a failing tracker never fails or delays a job."""

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
    """A tracker is unreachable or rejected data; the message is one line without secrets."""


@dataclass(frozen=True)
class TrackedRunInfo:
    """Metadata of a run, known before its first step."""

    job_id: str
    tenant: str
    name: str
    attempt: int
    choices: Mapping[str, Any]
    """Hyper-parameters."""
    made_from: Mapping[str, str]
    """Digest by role."""


@dataclass(frozen=True)
class LoggedStep:
    """Metrics of one step."""

    step: int
    at_seconds: float
    """Unix time."""
    figures: Mapping[str, float]


@dataclass(frozen=True)
class RunEnd:
    """How an attempt of a run ended."""

    status: Status
    figures: Mapping[str, float] = field(default_factory=dict)
    """Metrics of the whole run."""
    digest: str = ""
    """Digest of the model artifact; empty without one."""


@dataclass(frozen=True)
class TrackerPatience:
    """Limits of buffering, retries and waiting for a slow or unreachable tracker."""

    max_waiting: int = 10_000
    """Steps buffered; beyond that the oldest are dropped."""
    retry_seconds: tuple[float, ...] = (1.0, 2.0, 5.0, 15.0, 30.0)
    interval_seconds: float = 1.0
    """Steps of this interval are sent as one batch."""
    close_seconds: float = 30.0
    """How long a finished job waits for a tracker."""


PATIENCE = TrackerPatience()


class TrackerRun(Protocol):
    """A run as one tracker stores it."""

    async def send(self, points: Sequence[LoggedStep]) -> None:
        """Log steps, in order; steps may be repeated. Raises TrackingError."""

    async def close(self, ending: RunEnd) -> None:
        """Log the end of the attempt. Raises TrackingError."""


class Tracker(Protocol):
    """An experiment tracker, such as MLflow."""

    name: str

    async def open(self, facts: TrackedRunInfo) -> TrackerRun:
        """Create a run, or reopen that of an earlier attempt. Raises TrackingError."""


class TrackerFeed:
    """Delivers a run to one tracker, with retries, in a task of its own."""

    def __init__(self, tracker: Tracker, facts: TrackedRunInfo, patience: TrackerPatience) -> None:
        self._tracker = tracker
        self._facts = facts
        self._patience = patience
        self._pending: list[LoggedStep] = []
        self._lost = 0
        self._ending = RunEnd("interrupted")
        self._ended = asyncio.Event()
        self._wakeup = asyncio.Event()
        self._problem = ""
        """Error of the last failed attempt."""
        self._end_delivered = False
        """Whether the tracker has confirmed the end."""

    def add(self, point: LoggedStep) -> None:
        """Buffer a step; never blocks."""
        self._pending.append(point)
        if len(self._pending) > self._patience.max_waiting:
            del self._pending[0]
            self._lost += 1
        self._wakeup.set()

    def end(self, ending: RunEnd) -> None:
        """Set how the run ended; `run` returns once that is delivered."""
        self._ending = ending
        self._ended.set()
        self._wakeup.set()

    async def run(self) -> None:
        """Deliver buffered steps until the end is delivered."""
        sink: TrackerRun | None = None
        failed = 0
        while True:
            await self._wakeup.wait()
            try:
                sink = sink or await self._tracker.open(self._facts)
                await self._send(sink)
                if self._ended.is_set() and not self._pending:
                    await sink.close(self._ending)
                    self._end_delivered = True
                    return
                failed = 0
                if not self._ended.is_set():
                    await self._pause(self._patience.interval_seconds)
            except Exception as error:  # no fault of a tracker may reach the job
                FAILURES.labels(self._tracker.name).inc()
                expected = isinstance(error, TrackingError)
                log.warning(
                    "%s of job %s: %s",
                    self._tracker.name,
                    self._facts.job_id,
                    error,
                    exc_info=not expected,
                )
                self._problem = str(error) if expected else type(error).__name__
                pauses = self._patience.retry_seconds
                await self._pause(pauses[min(failed, len(pauses) - 1)])
                failed += 1

    @property
    def warning(self) -> str:
        """What was not delivered, and why; empty if everything was."""
        missing = self._lost + len(self._pending)
        if self._end_delivered and not missing:
            return ""
        reason = self._problem or "it did not answer in time"
        return f"{self._tracker.name} is incomplete, {missing} steps are missing: {reason}"

    async def _send(self, sink: TrackerRun) -> None:
        while self._pending:
            points = self._pending[:500]
            await sink.send(points)
            # By identity: the buffer may have dropped steps meanwhile.
            sent = set(map(id, points))
            self._pending = [point for point in self._pending if id(point) not in sent]
        if not self._ended.is_set():
            self._wakeup.clear()

    async def _pause(self, seconds: float) -> None:
        """Sleep, but wake when the run ends; after the end sleep only the first retry interval."""
        if self._ended.is_set():
            await asyncio.sleep(self._patience.retry_seconds[0])
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)


class TrackedRun:
    """A run at all configured trackers."""

    def __init__(
        self, feeds: Mapping[TrackerFeed, "asyncio.Task[None]"], *, close_seconds: float
    ) -> None:
        self._feeds = dict(feeds)
        self._close_seconds = close_seconds
        self.warnings: list[str] = []
        """What was not delivered; known after `finish`."""

    def add(self, report: Report) -> None:
        """Log a progress report as a step, if it has a loss."""
        if "loss" in report.metrics:
            point = LoggedStep(report.done, time.time(), dict(report.metrics))
            for feed in self._feeds:
                feed.add(point)

    async def finish(self, ending: RunEnd) -> None:
        """Deliver the end, waiting at most CLOSE_SECONDS. Idempotent."""
        feeds, self._feeds = self._feeds, {}
        for feed in feeds:
            feed.end(ending)
        if feeds:
            await asyncio.wait(feeds.values(), timeout=self._close_seconds)
        self.warnings += [feed.warning for feed in feeds if feed.warning]


@asynccontextmanager
async def tracked_run(
    trackers: Sequence[Tracker], facts: TrackedRunInfo, patience: TrackerPatience = PATIENCE
) -> AsyncIterator[TrackedRun]:
    """Deliver a run to all trackers while the block lasts.

    The block calls `finish` on success; an exception is delivered as failed or interrupted.
    """
    feeds = [TrackerFeed(tracker, facts, patience) for tracker in trackers]
    tasks = [asyncio.create_task(feed.run()) for feed in feeds]
    run = TrackedRun(dict(zip(feeds, tasks, strict=True)), close_seconds=patience.close_seconds)
    try:
        yield run
    except JobFailed:
        await run.finish(RunEnd("failed"))
        raise
    except Exception:
        # Preempted, fenced or broken: another attempt continues the run.
        await run.finish(RunEnd("interrupted"))
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
