"""The read model of jobs: what was asked, where it stands, what happened."""

import asyncio
from bisect import insort
from dataclasses import dataclass, field
from datetime import datetime

from google.protobuf.message import Message
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JobProgress,
    JobRequested,
    JobState,
    JobStatus,
)
from service_kit.errors import NotFoundError, UnavailableError

from jobs.bus import Bus, Stored

PROGRESS_EVENTS = 1000
"""Progress events with figures kept for each job; all of them are in the job's artifact."""


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job, in words and as it was written."""

    sequence: int
    """In its stream: states and progress count apart, so `id` is what names an event."""
    at: datetime
    type: str
    """`state` or `progress`."""
    message: str
    body: Message

    @property
    def id(self) -> str:
        """Unique within the job, and the same on every replica."""
        return f"{self.type}-{self.sequence}"


@dataclass(frozen=True)
class JobRecord:
    """What is known of one job."""

    requested: JobRequested
    state: JobState
    """Queued with attempt 0 when no worker has claimed it yet."""
    progress: JobProgress | None
    """Latest of the claim in force; None before the first, or an hour after the last."""
    events: tuple[JobEvent, ...]
    """Oldest first."""


@dataclass
class _Entry:
    requested: Stored[JobRequested] | None = None
    state: JobState | None = None
    progress: JobProgress | None = None
    events: list[JobEvent] = field(default_factory=list)
    figures: int = 0

    def add(self, event: JobEvent) -> None:
        """Keep an event in the order of its time; the oldest figures make room for new ones."""
        insort(self.events, event, key=lambda each: each.at)
        if event.type != "progress":
            return
        if self.figures < PROGRESS_EVENTS:
            self.figures += 1
        else:
            oldest = next(i for i, each in enumerate(self.events) if each.type == "progress")
            del self.events[oldest]


class JobLedger:
    """Follows JOBS and PROGRESS for as long as `run` runs."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._entries: dict[str, _Entry] = {}
        self._sequence = 0
        self._moved = asyncio.Condition()
        self.ready = asyncio.Event()
        """Set once everything that was stored before `run` has been read."""

    async def run(self) -> None:
        """Read for ever; run it as a task beside the server."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_jobs())
            tasks.create_task(self._follow_progress())

    def get(self, tenant: str, job_id: str) -> JobRecord:
        """One job.

        Raises:
            NotFoundError: no such job, or another tenant's.
        """
        entry = self._entries.get(job_id)
        if entry is None or entry.requested is None or entry.requested.body.tenant != tenant:
            raise NotFoundError(f"no job {job_id[:80]!r}")
        return _record(entry.requested.body, entry)

    def list(self, tenant: str, kind: str | None = None) -> list[JobRecord]:
        """The tenant's jobs, of one kind when given, newest first."""
        mine = [
            (entry.requested.sequence, _record(entry.requested.body, entry))
            for entry in self._entries.values()
            if entry.requested is not None
            and entry.requested.body.tenant == tenant
            and kind in (None, entry.requested.body.kind)
        ]
        return [record for _, record in sorted(mine, key=lambda pair: -pair[0])]

    async def wait_for(self, sequence: int, timeout: float) -> None:
        """Return once everything up to `sequence` of JOBS has been read.

        Raises:
            UnavailableError: not within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout), self._moved:
                await self._moved.wait_for(lambda: self._sequence >= sequence)
        except TimeoutError as error:
            raise UnavailableError("the list of jobs is behind the queue") from error

    async def _follow_jobs(self) -> None:
        async for stored in self._bus.follow(JOB_FILTERS, on_current=self.ready.set):
            self._take(stored)
            async with self._moved:
                self._sequence = stored.sequence
                self._moved.notify_all()

    async def _follow_progress(self) -> None:
        async for stored in self._bus.follow(["job.progress.*"]):
            self._take_progress(stored)

    def _take(self, stored: Stored[Message]) -> None:
        body = stored.body
        if isinstance(body, JobRequested):
            self._entry(body.job_id).requested = Stored(
                stored.sequence, stored.subject, body, stored.trace
            )
        elif isinstance(body, JobState):
            if body.status == JOB_STATUS_RUNNING and not body.fence:
                # The claim itself: it cannot know the sequence that it is given.
                body.fence = stored.sequence
            entry = self._entry(body.job_id)
            entry.state = body
            at = body.updated_at.ToDatetime()
            entry.add(JobEvent(stored.sequence, at, "state", _say_state(body), body))

    def _take_progress(self, stored: Stored[Message]) -> None:
        body = stored.body
        if not isinstance(body, JobProgress):
            return
        entry = self._entry(body.job_id)
        if entry.progress is not None and body.fence < entry.progress.fence:
            return  # a worker that does not know yet that it lost the job
        entry.progress = body
        if body.metrics:
            at = body.at.ToDatetime()
            entry.add(JobEvent(stored.sequence, at, "progress", _say_progress(body), body))

    def _entry(self, job_id: str) -> _Entry:
        return self._entries.setdefault(job_id, _Entry())


JOB_FILTERS = ("job.requested.>", "job.resumed.>", "job.control.*", "job.state.*")


def _record(requested: JobRequested, entry: _Entry) -> JobRecord:
    state = entry.state or JobState(
        job_id=requested.job_id,
        kind=requested.kind,
        tenant=requested.tenant,
        status=JOB_STATUS_QUEUED,
        updated_at=requested.requested_at,
    )
    progress = entry.progress
    if progress is not None and state.fence > progress.fence:
        progress = None
    return JobRecord(requested, state, progress, tuple(entry.events))


def _say_state(state: JobState) -> str:
    name = JobStatus.Name(state.status).removeprefix("JOB_STATUS_").lower()
    if state.status == JOB_STATUS_FAILED:
        return f"failed: {state.error.message}"
    if state.status == JOB_STATUS_QUEUED and state.error.code:
        return f"queued again after: {state.error.message}"
    if state.status == JOB_STATUS_RUNNING and state.checkpoint.digest:
        return f"running, attempt {state.attempt}, saved at step {state.checkpoint.step}"
    if state.status == JOB_STATUS_RUNNING:
        return f"running, attempt {state.attempt}"
    return name


def _say_progress(progress: JobProgress) -> str:
    of = f"/{progress.total}" if progress.total else ""
    figures = ", ".join(f"{name}={value:.4g}" for name, value in sorted(progress.metrics.items()))
    return f"{progress.phase} {progress.unit} {progress.done}{of}: {figures}"
