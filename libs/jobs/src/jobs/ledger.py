"""The read model of jobs: what was asked, where it stands, what happened."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_WISH_RUN,
    JobControl,
    JobProgress,
    JobRequested,
    JobResumed,
    JobState,
    JobStatus,
    JobWish,
)
from service_kit.errors import NotFoundError, UnavailableError

from jobs.bus import Bus, Stored
from jobs.history import PROGRESS, STATE, JobEvent, JobHistory
from jobs.standing import TERMINAL, renewed, runs_again, status_word, wish_left

__all__ = ["JobEvent", "JobLedger", "JobRecord"]


@dataclass(frozen=True)
class JobRecord:
    """What is known of one job."""

    requested: JobRequested
    state: JobState
    """Queued with attempt 0 when no worker has claimed it yet, and queued when it runs again."""
    progress: JobProgress | None
    """Latest of the claim in force; None before the first, or an hour after the last."""
    events: tuple[JobEvent, ...]
    """Oldest first."""
    wish: JobWish.ValueType = JOB_WISH_RUN
    """RUN unless somebody wishes it paused or cancelled; then the state follows, or has."""


@dataclass(frozen=True)
class Standing:
    """Where one job stands, for counting."""

    kind: str
    status: JobStatus.ValueType
    since: Timestamp
    """When it was requested, written or resumed last."""


@dataclass
class _Entry:
    requested: Stored[JobRequested] | None = None
    state: Stored[JobState] | None = None
    control: JobWish.ValueType = JOB_WISH_RUN
    resumed: Stored[JobResumed] | None = None
    progress: JobProgress | None = None
    history: JobHistory = field(default_factory=JobHistory)

    @property
    def resumed_since(self) -> bool:
        """Whether the job was resumed after its last state."""
        if self.resumed is None or self.state is None:
            return False
        return self.resumed.sequence > self.state.sequence

    @property
    def runs_again(self) -> bool:
        """Whether it ended or paused, and waits for a worker nevertheless."""
        return self.state is not None and runs_again(
            self.state.body.status, self.control, resumed_since=self.resumed_since
        )

    @property
    def status(self) -> JobStatus.ValueType:
        """Where it stands."""
        if self.state is None or self.runs_again:
            return JOB_STATUS_QUEUED
        return self.state.body.status

    @property
    def wish(self) -> JobWish.ValueType:
        """What can still come true of what was wished."""
        return wish_left(self.status, self.control)


class JobLedger:
    """Follows JOBS and PROGRESS for as long as `run` runs."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._entries: dict[str, _Entry] = {}
        self._sequence = 0
        self.progress_sequence = 0
        """Of the newest message of PROGRESS that has been read."""
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
        requested, entry = self._find(tenant, job_id)
        return _record(requested, entry)

    def history(self, tenant: str, job_id: str) -> JobHistory:
        """What happened to one job, and will: it is added to as events come.

        Raises:
            NotFoundError: no such job, or another tenant's.
        """
        return self._find(tenant, job_id)[1].history

    def has_ended(self, job_id: str) -> bool:
        """Whether nothing more happens to the job, unless somebody asks for it."""
        return self._entries[job_id].status in TERMINAL

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

    def standings(self) -> Iterator[Standing]:
        """Where every job stands; may be read in another thread than `run`'s."""
        for entry in [*self._entries.values()]:
            if entry.requested is None:
                continue
            since = entry.requested.body.requested_at
            if entry.runs_again and entry.resumed is not None:
                since = entry.resumed.body.resumed_at
            elif entry.state is not None:
                since = entry.state.body.updated_at
            yield Standing(entry.requested.body.kind, entry.status, since)

    def _find(self, tenant: str, job_id: str) -> tuple[JobRequested, _Entry]:
        entry = self._entries.get(job_id)
        if entry is None or entry.requested is None or entry.requested.body.tenant != tenant:
            raise NotFoundError(f"no job {job_id[:80]!r}")
        return entry.requested.body, entry

    async def wait_for(self, sequence: int, timeout: float) -> None:
        """Return once everything up to `sequence` of JOBS has been read.

        Raises:
            UnavailableError: not within `timeout` seconds.
        """
        await self._wait(lambda: self._sequence >= sequence, timeout)

    async def wait_for_progress(self, sequence: int, timeout: float) -> None:
        """Return once everything up to `sequence` of PROGRESS has been read.

        Raises:
            UnavailableError: not within `timeout` seconds.
        """
        await self._wait(lambda: self.progress_sequence >= sequence, timeout)

    async def _wait(self, reached: Callable[[], bool], timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout), self._moved:
                await self._moved.wait_for(reached)
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
            async with self._moved:
                self.progress_sequence = stored.sequence
                self._moved.notify_all()

    def _take(self, stored: Stored[Any]) -> None:
        body = stored.body
        entry = self._entry(body.job_id)
        if isinstance(body, JobRequested):
            entry.requested = stored
        elif isinstance(body, JobState):
            if body.status == JOB_STATUS_RUNNING and not body.fence:
                # The claim itself: it cannot know the sequence that it is given.
                body.fence = stored.sequence
            entry.state = stored
            at = body.updated_at.ToDatetime()
            entry.history.add(JobEvent(stored.sequence, at, STATE, _say_state(body), body))
        elif isinstance(body, JobControl):
            entry.control = body.wish
            entry.history.tell()
        elif isinstance(body, JobResumed):
            self._take_resumed(entry, stored)

    def _take_resumed(self, entry: _Entry, stored: Stored[JobResumed]) -> None:
        again, entry.resumed = entry.resumed_since, stored
        if entry.state is not None and entry.runs_again and not again:
            at, state = stored.body.resumed_at.ToDatetime(), renewed(entry.state.body)
            entry.history.add(JobEvent(stored.sequence, at, STATE, "queued again", state))

    def _take_progress(self, stored: Stored[Any]) -> None:
        body: JobProgress = stored.body
        entry = self._entry(body.job_id)
        if entry.progress is not None and body.fence < entry.progress.fence:
            return  # a worker that does not know yet that it lost the job
        before, entry.progress = entry.progress, body
        if body.metrics or not _is_repeated(body, before):
            at = body.at.ToDatetime()
            entry.history.add(JobEvent(stored.sequence, at, PROGRESS, _say_progress(body), body))

    def _entry(self, job_id: str) -> _Entry:
        return self._entries.setdefault(job_id, _Entry())


JOB_FILTERS = ("job.requested.>", "job.resumed.>", "job.control.*", "job.state.*")


def _record(requested: JobRequested, entry: _Entry) -> JobRecord:
    if entry.state is None:
        state = JobState(
            job_id=requested.job_id,
            kind=requested.kind,
            tenant=requested.tenant,
            status=JOB_STATUS_QUEUED,
            updated_at=requested.requested_at,
        )
    else:
        state = renewed(entry.state.body) if entry.runs_again else entry.state.body
    progress = entry.progress
    if progress is not None and state.fence > progress.fence:
        progress = None
    return JobRecord(requested, state, progress, entry.history.events(), entry.wish)


def _say_state(state: JobState) -> str:
    if state.status == JOB_STATUS_FAILED:
        return f"failed: {state.error.message}"
    if state.status == JOB_STATUS_QUEUED and state.error.code:
        return f"queued again after: {state.error.message}"
    if state.status == JOB_STATUS_RUNNING and state.checkpoint.digest:
        return f"running, attempt {state.attempt}, saved at step {state.checkpoint.step}"
    if state.status == JOB_STATUS_RUNNING:
        return f"running, attempt {state.attempt}"
    return status_word(state.status)


def _is_repeated(progress: JobProgress, before: JobProgress | None) -> bool:
    """Whether it only says that the claim is still held."""
    if before is None or before.fence != progress.fence:
        return False
    return (before.phase, before.done) == (progress.phase, progress.done)


def _say_progress(progress: JobProgress) -> str:
    of = f"/{progress.total}" if progress.total else ""
    figures = ", ".join(f"{name}={value:.4g}" for name, value in sorted(progress.metrics.items()))
    return f"{progress.phase} {progress.unit} {progress.done}{of}" + (figures and f": {figures}")
