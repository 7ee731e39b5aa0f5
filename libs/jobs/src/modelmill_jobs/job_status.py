"""Where a job stands: its last state, read together with what was desired and resumed since.

A state is written only by whoever holds the job, so a job that is asked to run again keeps its old
state until a worker claims it. These rules say what that state means meanwhile, alike for owner,
worker and read model.
"""

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
    JobState,
    JobStatus,
)

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
