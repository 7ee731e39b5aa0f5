"""Where a job stands: its last state, read together with what was wished and resumed since.

A state is written only by whoever holds the job, so a job that is asked to run again keeps its old
state until a worker claims it. These rules say what that state means meanwhile, alike for owner,
worker and read model.
"""

from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_PAUSED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JOB_WISH_CANCEL,
    JOB_WISH_PAUSE,
    JOB_WISH_RUN,
    JobState,
    JobStatus,
    JobWish,
)

TERMINAL = (JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED, JOB_STATUS_CANCELLED)
WISHED_STATUS = {JOB_WISH_PAUSE: JOB_STATUS_PAUSED, JOB_WISH_CANCEL: JOB_STATUS_CANCELLED}


def runs_again(
    status: JobStatus.ValueType, wish: JobWish.ValueType, *, resumed_since: bool
) -> bool:
    """Whether a job with this last state waits for a worker once more.

    Paused jobs do as soon as that is no longer wished: the message that wakes a worker may be a
    moment late. A failed job fulfils no wish, so only a resume can mean it. A cancelled job never
    runs again.

    Args:
        wish: the wish in force; RUN when nobody wished anything.
        resumed_since: whether the last `job.resumed` is newer than the state.
    """
    if status == JOB_STATUS_FAILED:
        return resumed_since
    return status == JOB_STATUS_PAUSED and wish == JOB_WISH_RUN


def renewed(state: JobState) -> JobState:
    """The state from which a job runs again: counters at nought, the checkpoint kept."""
    fresh = JobState()
    fresh.CopyFrom(state)
    fresh.status = JOB_STATUS_QUEUED
    fresh.lost = fresh.failures = 0
    fresh.ClearField("error")
    fresh.ClearField("finished_at")
    return fresh


def may_be_parked(status: JobStatus.ValueType, *, resumed_since: bool) -> bool:
    """Whether nobody holds the job, so that anybody may write that it is paused or cancelled."""
    if status == JOB_STATUS_FAILED:
        return resumed_since
    return status not in (JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED, JOB_STATUS_CANCELLED)


def wish_left(status: JobStatus.ValueType, wish: JobWish.ValueType) -> JobWish.ValueType:
    """The wish that can still come true; one that the job's end overtook is RUN again."""
    if status in (JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED):
        return JOB_WISH_RUN
    return wish


def status_word(status: JobStatus.ValueType) -> str:
    """The status as people read it, for example "queued"."""
    return JobStatus.Name(status).removeprefix("JOB_STATUS_").lower()
