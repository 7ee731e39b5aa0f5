"""One job in the read model, and how messages change it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_RUN,
    JOB_PRIORITY_NORMAL,
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JobControl,
    JobDesiredState,
    JobProgress,
    JobRequested,
    JobResumed,
    JobState,
    JobStatus,
)
from modelmill_bus.envelope import Stored
from modelmill_jobs.job_status import desired_state_left, renewed, runs_again, status_word
from modelmill_jobs.sizes import size_of
from modelmill_jobs.waiting import WaitingJob
from modelmill_service_kit.machine_size import MachineSize

from modelmill_job_index.history import PROGRESS, STATE, JobEvent, JobHistory
from modelmill_job_index.queue_order import NO_POSITION, QueuePosition


@dataclass
class _Claim:
    fence: int
    began: datetime
    heard: datetime
    """When it last saved something."""

    def seconds_until(self, end: datetime) -> float:
        """Clocks of two machines may differ; nothing takes less than no time."""
        return max(0.0, (end - self.began).total_seconds())


def work_seconds(states: Iterable[JobEvent], progress: JobProgress | None = None) -> float:
    """Seconds from claim to end, over all claims.

    A claim that ended without a word counts up to what it saved last, for what it did then is lost;
    the one in force up to its last report.

    Nothing is counted anywhere: the states are in the stream, so that the figure is the same in
    every process and after every restart.

    Args:
        states: all of the job's, in the order of their stream.
        progress: the last report of the claim in force.
    """
    total, held = 0.0, None
    for event in states:
        state = event.body
        assert isinstance(state, JobState), "a state carries one"
        running = state.status == JOB_STATUS_RUNNING
        if held is not None and running and held.fence == state.fence:
            held.heard = event.at
            continue
        if held is not None:
            total += held.seconds_until(held.heard if running else event.at)
        held = _Claim(state.fence, event.at, event.at) if running else None
    if held is None:
        return total
    reported = held.heard
    if progress is not None and progress.fence == held.fence:
        reported = max(reported, progress.at.ToDatetime())
    return total + held.seconds_until(reported)


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job in work, and the worker that holds it."""

    worker: str
    kind: str
    job_id: str
    tenant: str
    since: datetime
    """UTC; when the worker claimed it."""


AGAIN = "queued again"
"""Said of a job that was resumed after its end."""


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
    desired_state: JobDesiredState.ValueType = JOB_DESIRED_STATE_RUN
    """RUN unless somebody asked for it to be paused or cancelled; then the state follows, or
    has."""
    work_seconds: float = 0.0
    """From claim to end over all claims; see `modelmill_job_index.entry`."""
    turn: QueuePosition = NO_POSITION
    """When it starts, if it waits."""


@dataclass
class Entry:
    """One job, as far as its messages have been read."""

    applied: int = 0
    """Sequence of its newest message in JOBS."""
    requested: JobRequested | None = None
    requested_sequence: int = 0
    state: JobState | None = None
    state_sequence: int = 0
    control: JobDesiredState.ValueType = JOB_DESIRED_STATE_RUN
    resumed: JobResumed | None = None
    resumed_sequence: int = 0
    claimed_sequence: int = 0
    """Of its last claim; 0 before the first."""
    claimed_at: datetime | None = None
    """UTC, without a zone."""
    progress: JobProgress | None = None
    history: JobHistory = field(default_factory=JobHistory)

    @property
    def kind(self) -> str:
        """Empty until its request was read."""
        return self.requested.kind if self.requested is not None else ""

    @property
    def tenant(self) -> str:
        """Empty until its request was read."""
        return self.requested.tenant if self.requested is not None else ""

    @property
    def resumed_since(self) -> bool:
        """Whether the job was resumed after its last state."""
        if self.resumed is None or self.state is None:
            return False
        return self.resumed_sequence > self.state_sequence

    @property
    def runs_again(self) -> bool:
        """Whether it ended or paused, and waits for a worker nevertheless."""
        return self.state is not None and runs_again(
            self.state.status, self.control, resumed_since=self.resumed_since
        )

    @property
    def status(self) -> JobStatus.ValueType:
        """Where it stands."""
        if self.state is None or self.runs_again:
            return JOB_STATUS_QUEUED
        return self.state.status

    @property
    def since(self) -> Timestamp:
        """When it was requested, written or resumed last."""
        if self.runs_again and self.resumed is not None:
            return self.resumed.resumed_at
        if self.state is not None:
            return self.state.updated_at
        return self.requested.requested_at if self.requested is not None else Timestamp()

    def held(self, job_id: str) -> HeldJob | None:
        """Who works on it; None when nobody does."""
        if self.requested is None or self.state is None or self.status != JOB_STATUS_RUNNING:
            return None
        since = self.claimed_at or self.state.updated_at.ToDatetime()
        claimed = since.replace(tzinfo=UTC)
        return HeldJob(self.state.owner, self.kind, job_id, self.tenant, claimed)

    def waiting(self, job_id: str) -> WaitingJob | None:
        """As it stands in the queue; None when it is not to run, or somebody works on it."""
        request = self.requested
        if (
            request is None
            or self.status != JOB_STATUS_QUEUED
            or self.control != JOB_DESIRED_STATE_RUN
        ):
            return None
        asked = max(self.requested_sequence, self.resumed_sequence)
        priority = request.priority or JOB_PRIORITY_NORMAL
        return WaitingJob(job_id, request.tenant, asked, priority, size_of(request.needs))

    @property
    def worker_size(self) -> MachineSize | None:
        """What the worker has that claimed it last; None when it did not say."""
        if self.state is None or not self.state.HasField("worker"):
            return None
        return size_of(self.state.worker)

    def work_seconds(self) -> float:
        """From claim to end over all claims; the one in force to its last report."""
        return work_seconds(self.history.states, self.progress)

    def told_left(self, now: datetime) -> float | None:
        """Seconds that the claim in force said to have left, less what has passed since.

        None when it said nothing, or when that time is over.
        """
        told = self.progress
        if told is None or self.state is None or told.fence != self.state.fence:
            return None
        left = told.eta_seconds - (now - told.at.ToDatetime()).total_seconds()
        return left if told.eta_seconds > 0 and left > 0 else None

    def take(self, stored: Stored[Any]) -> None:
        """Take in a message of JOBS; one that is in here already changes nothing."""
        if stored.sequence <= self.applied:
            return
        self.applied = stored.sequence
        body: Message = stored.body
        if isinstance(body, JobRequested):
            self.requested, self.requested_sequence = body, stored.sequence
        elif isinstance(body, JobState):
            self._take_state(body, stored.sequence)
        elif isinstance(body, JobControl):
            self.control = body.desired_state
            self.history.tell()
        elif isinstance(body, JobResumed):
            self._take_resumed(body, stored.sequence)

    def _take_state(self, state: JobState, sequence: int) -> None:
        if state.status == JOB_STATUS_RUNNING and not state.fence:
            # The claim itself: it cannot know the sequence that it is given.
            state.fence = sequence
            self.claimed_sequence, self.claimed_at = sequence, state.updated_at.ToDatetime()
        self.state, self.state_sequence = state, sequence
        self.history.add(state_event(sequence, state))

    def _take_resumed(self, resumed: JobResumed, sequence: int) -> None:
        again = self.resumed_since
        self.resumed, self.resumed_sequence = resumed, sequence
        if self.state is not None and self.runs_again and not again:
            self.history.add(again_event(sequence, renewed(self.state), resumed.resumed_at))

    def take_progress(self, stored: Stored[JobProgress]) -> bool:
        """Take in a message of PROGRESS; False for one of a worker that has lost the job."""
        body = stored.body
        if self.progress is not None and body.fence < self.progress.fence:
            return False
        before, self.progress = self.progress, body
        if body.metrics or not _is_repeated(body, before):
            at = body.at.ToDatetime()
            self.history.add(JobEvent(stored.sequence, at, PROGRESS, say_progress(body), body))
        return True

    def record(self) -> JobRecord:
        """The job as its readers see it; its request must have been read."""
        assert self.requested is not None, "a job is found by its request"
        if self.state is None:
            state = JobState(
                job_id=self.requested.job_id,
                kind=self.requested.kind,
                tenant=self.requested.tenant,
                status=JOB_STATUS_QUEUED,
                updated_at=self.requested.requested_at,
            )
        else:
            state = renewed(self.state) if self.runs_again else self.state
        progress = self.progress
        if progress is not None and state.fence > progress.fence:
            progress = None
        desired_state = desired_state_left(self.status, self.control)
        return JobRecord(
            self.requested,
            state,
            progress,
            self.history.events(),
            desired_state,
            self.work_seconds(),
        )


def state_event(sequence: int, state: JobState) -> JobEvent:
    """A state that was written."""
    return JobEvent(sequence, state.updated_at.ToDatetime(), STATE, _say_state(state), state)


def again_event(sequence: int, state: JobState, resumed_at: Timestamp) -> JobEvent:
    """A job that is queued again."""
    return JobEvent(sequence, resumed_at.ToDatetime(), STATE, AGAIN, state)


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


def say_progress(progress: JobProgress) -> str:
    """A report in words, for example "train step 3/40: loss=1.25"."""
    of = f"/{progress.total}" if progress.total else ""
    figures = ", ".join(f"{name}={value:.4g}" for name, value in sorted(progress.metrics.items()))
    return f"{progress.phase} {progress.unit} {progress.done}{of}" + (figures and f": {figures}")
