"""Status of a job: its last state combined with control signals since then.

A state is written only by whoever holds the job, so a job that is asked to run again keeps its old
state until a worker claims it. These rules say what that state means meanwhile, alike for owner,
worker and read model.
"""

import time
from dataclasses import dataclass, replace
from typing import Any

from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_PAUSED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobDesiredState,
    JobProgress,
    JobRequested,
    JobResumed,
    JobState,
    JobStatus,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import job_progress, job_requested, job_state

TERMINAL = (JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED, JOB_STATUS_CANCELLED)
DESIRED_STATUS = {
    JOB_DESIRED_STATE_PAUSE: JOB_STATUS_PAUSED,
    JOB_DESIRED_STATE_CANCEL: JOB_STATUS_CANCELLED,
}


def runs_again(
    status: JobStatus.ValueType, desired_state: JobDesiredState.ValueType, *, resumed_since: bool
) -> bool:
    """Whether a job with this last state waits for a worker once more.

    Paused jobs do as soon as that is no longer desired: the message that wakes a worker may be a
    moment late. A failed job fulfils no desired state, so only a resume can mean it. A cancelled
    job never runs again.

    Args:
        desired_state: the desired state in force; RUN when nobody asked for anything.
        resumed_since: whether the last `job.resumed` is newer than the state.
    """
    if status == JOB_STATUS_FAILED:
        return resumed_since
    return status == JOB_STATUS_PAUSED and desired_state == JOB_DESIRED_STATE_RUN


def renewed(state: JobState) -> JobState:
    """The state from which a job runs again: counters at nought, the checkpoint kept."""
    fresh = JobState()
    fresh.CopyFrom(state)
    fresh.status = JOB_STATUS_QUEUED
    fresh.lost = fresh.failures = 0
    fresh.ClearField("error")
    fresh.ClearField("finished_at")
    return fresh


def may_be_finalized(status: JobStatus.ValueType, *, resumed_since: bool) -> bool:
    """Whether nobody holds the job, so that anybody may write that it is paused or cancelled."""
    if status == JOB_STATUS_FAILED:
        return resumed_since
    return status not in (JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED, JOB_STATUS_CANCELLED)


def desired_state_left(
    status: JobStatus.ValueType, desired_state: JobDesiredState.ValueType
) -> JobDesiredState.ValueType:
    """The desired state that can still come true; one that the job's end overtook is RUN again."""
    if status in (JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED):
        return JOB_DESIRED_STATE_RUN
    return desired_state


def status_word(status: JobStatus.ValueType) -> str:
    """The status as people read it, for example "queued"."""
    return JobStatus.Name(status).removeprefix("JOB_STATUS_").lower()


@dataclass(frozen=True)
class JobView:
    """A delivery is only a wake-up; what counts is what the stream says of the job now."""

    woken_by: Stored[Any]
    """The request itself, or a resume."""
    ordered: Stored[JobRequested]
    before: Stored[JobState] | None
    """The last state."""

    @classmethod
    async def read(cls, bus: Bus, woken_by: Stored[Any]) -> "JobView":
        """Look up what the delivery is about.

        Raises:
            UnavailableError: the broker does not answer.
        """
        ordered = woken_by
        if not isinstance(woken_by.body, JobRequested):
            kind, tenant, job_id = woken_by.subject.split(".")[2:]
            stored = await bus.last(job_requested(kind, tenant, job_id), JobRequested)
            if stored is None:
                raise LookupError(f"job {job_id} was resumed but never requested")
            ordered = stored
        before = await bus.last(job_state(ordered.body.job_id), JobState)
        return cls(woken_by, ordered, before)

    def is_over(self, desired_state: JobDesiredState.ValueType) -> bool:
        """Whether nothing is left to do: the job ended or paused, and that is as desired.

        Args:
            desired_state: the desired state in force, read after the state.
        """
        if self.before is None:
            return False
        status = self.before.body.status
        if status == JOB_STATUS_FAILED:
            resumed = isinstance(self.woken_by.body, JobResumed)
            return not (resumed and self.woken_by.sequence > self.before.sequence)
        if status == JOB_STATUS_PAUSED:
            return desired_state == JOB_DESIRED_STATE_PAUSE
        return status in (JOB_STATUS_SUCCEEDED, JOB_STATUS_CANCELLED)

    @property
    def start(self) -> Stored[JobState] | None:
        """The state that a claim goes on from; a resumed job starts with its counters at nought."""
        if self.before is None or self.before.body.status not in (*TERMINAL, JOB_STATUS_PAUSED):
            return self.before
        return replace(self.before, body=renewed(self.before.body))

    @property
    def is_running(self) -> bool:
        """Whether the job is claimed and has no final state."""
        return self.before is not None and self.before.body.status == JOB_STATUS_RUNNING

    async def shows_life(self, bus: Bus, within_seconds: float) -> bool:
        """Whether whoever claimed the job wrote its state or reported within that time.

        The broker may deliver a job again although its worker lives, for one after a restart of
        its own, or when the first delivery went to a worker that froze. Claiming it would be safe,
        but would throw away work.

        Raises:
            UnavailableError: the broker does not answer.
        """
        if self.before is None:
            return False
        state = self.before.body
        signs = [state.updated_at]
        progress = await bus.last(job_progress(state.job_id), JobProgress)
        if progress is not None and progress.body.fence == (state.fence or self.before.sequence):
            signs.append(progress.body.at)
        # A sign from the future comes from a wrong clock, and would look alive for as long.
        return any(abs(time.time() - at.ToNanoseconds() / 1e9) < within_seconds for at in signs)
