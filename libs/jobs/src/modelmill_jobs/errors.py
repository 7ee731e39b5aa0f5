"""Errors that end an attempt of a job."""

from modelmill.jobs.v1.job_pb2 import JobError, JobState
from modelmill_bus.errors import BrokerDiskFullError, StreamFullError
from modelmill_service_kit.errors import DiskFullError, DomainError, UnavailableError

from modelmill_jobs.child import Preempted

__all__ = ["ChildDied", "Fenced", "JobFailed", "Preempted"]


class JobFailed(Exception):  # noqa: N818 - an outcome of the work, not a fault of ours
    """The job cannot succeed, however often it is tried.

    Args:
        code: stable word, for example "NO_VALID_ROWS".
        message: one clear line for the person who asked.
        remedy: what to do about it.
        log_tail: last lines of the child's log.
    """

    report_digest = ""
    """Of an artifact that says more; set by who has one."""

    def __init__(self, code: str, message: str, remedy: str = "", log_tail: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.remedy = remedy
        self.log_tail = log_tail


class ChildDied(Exception):  # noqa: N818
    """A child process ended without a result, or was silent for too long; worth another try."""

    def __init__(self, code: str, message: str, log_tail: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.log_tail = log_tail


class Fenced(Exception):  # noqa: N818
    """Another worker owns the job now: stop, write nothing, do not acknowledge."""


AWAY = (UnavailableError.reason, StreamFullError.reason, BrokerDiskFullError.reason)
"""Codes of what a job waits for, without a failure of its own."""
LONGEST_WAIT_SECONDS = 60.0
"""Between two tries of a job that waits for something that is away."""


def retry_delay(state: JobState, retry_seconds: float) -> float:
    """Seconds until a queued job is tried again.

    Args:
        retry_seconds: for each failure, and for each try that met something that was away.
    """
    if state.error.code in AWAY:
        return min(retry_seconds * state.attempt, LONGEST_WAIT_SECONDS)
    return retry_seconds * state.failures


def job_error(failure: Exception) -> JobError:
    """What a job's record says of an exception, for the person who asked for the job."""
    if isinstance(failure, JobFailed):
        return JobError(
            code=failure.code,
            message=failure.message,
            remedy=failure.remedy,
            log_tail=failure.log_tail,
            report_digest=failure.report_digest,
        )
    if isinstance(failure, ChildDied):
        return JobError(
            code=failure.code,
            message=failure.message,
            remedy="See the log; the job was tried again before this.",
            log_tail=failure.log_tail,
        )
    if isinstance(failure, OSError):
        failure = DiskFullError.from_os_error(failure) or failure
    if isinstance(failure, DiskFullError):
        remedy = "Free space; a job that failed of it can be resumed."
        return JobError(code=failure.reason, message=failure.message, remedy=remedy)
    if isinstance(failure, UnavailableError):
        remedy = "The job goes on by itself once it is there again."
        return JobError(code=failure.reason, message=failure.message, remedy=remedy)
    if isinstance(failure, DomainError):
        return JobError(code=failure.reason, message=failure.message)
    return JobError(
        code="INTERNAL",
        message=f"the service failed unexpectedly ({type(failure).__name__})",
        remedy="This is a fault of ours; the service's log has the details.",
    )
